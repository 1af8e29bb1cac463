package hysock

// #include "glue.h"
import "C"

import (
	"net/http"
	"net/textproto"
	"sync"
	"unsafe"
)

// A scratch is room for texts on their way in or out.
type scratch struct {
	head C.glue_head
	text []byte
	lens []C.uint32_t
}

var scratches = sync.Pool{New: func() any { return &scratch{text: make([]byte, 0, 4096), lens: make([]C.uint32_t, 0, 64)} }}

// fill runs get until its texts fit, and gives them as one string.
func (s *scratch) fill(get func(head *C.glue_head, buf *C.char, size C.size_t)) string {
	for {
		get(&s.head, (*C.char)(unsafe.Pointer(unsafe.SliceData(s.text))), C.size_t(cap(s.text)))
		if need := int(s.head.need); need <= cap(s.text) {
			return string(s.text[:need])
		}
		s.text = make([]byte, 0, int(s.head.need))
	}
}

// headers cuts texts into a header map.
func (s *scratch) headers(text string) http.Header {
	header := make(http.Header, int(s.head.count))
	values := make([]string, int(s.head.count))
	for i := range int(s.head.count) {
		nameLen, valueLen := int(s.head.lens[2*i]), int(s.head.lens[2*i+1])
		key := textproto.CanonicalMIMEHeaderKey(text[:nameLen])
		value := text[nameLen : nameLen+valueLen]
		text = text[nameLen+valueLen:]
		if known := header[key]; known != nil {
			header[key] = append(known, value)
			continue
		}
		values[i] = value
		header[key] = values[i : i+1 : i+1]
	}
	return header
}

func (s *scratch) reset() {
	s.text, s.lens = s.text[:0], s.lens[:0]
}

// add appends a header that goes out.
func (s *scratch) add(name, value string) {
	s.text = append(append(s.text, name...), value...)
	s.lens = append(s.lens, C.uint32_t(len(name)), C.uint32_t(len(value)))
}

// addAll appends the headers that skip does not name.
func (s *scratch) addAll(header http.Header, skip func(name string) bool) {
	for name, values := range header {
		if skip(name) {
			continue
		}
		for _, value := range values {
			s.add(name, value)
		}
	}
}

func (s *scratch) pointers() (*C.char, *C.uint32_t, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(s.text))), unsafe.SliceData(s.lens), C.size_t(len(s.lens) / 2)
}

// pointer is typed, so that cgo looks at bytes only, whatever they are a part of.
func pointer(p []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(p))) }
