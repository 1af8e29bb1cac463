package hysock

// #include "glue.h"
import "C"

import (
	"net/http"
	"strings"
	"unsafe"
)

// As much of an answer waits for its end before it is sent in pieces: a small one leaves as a whole.
const smallAnswer = 4096

// A responseWriter is an answer: http.ResponseWriter, http.Flusher and http.Hijacker.
type responseWriter struct {
	x       *exchange
	request *http.Request
	header  http.Header
	status  int // 0: WriteHeader was not called
	length  int64
	sent    http.Header // the header as it was at WriteHeader
	body    []byte      // not sent yet
	started bool
	written int64
	err     error
}

func (w *responseWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status != 0 || w.x.hijacked {
		return
	}
	if status < 100 || status > 999 {
		panic("hysock: invalid WriteHeader code")
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // what comes before the answer is the library's
	}
	w.status = status
	w.sent = w.Header().Clone()
	w.length = announced(w.sent)
}

func (w *responseWriter) bodyAllowed() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// WriteString is for io.WriteString.
func (w *responseWriter) WriteString(text string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(text), len(text)))
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.x.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.bodyAllowed() {
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if !w.started && len(w.body)+len(p) <= smallAnswer {
		w.body = append(w.body, p...)
		return len(p), nil
	}
	if w.err == nil {
		w.begin(p)
	}
	if w.err == nil {
		w.err = w.send(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// pack lays out the headers; sniffed is the body's beginning.
func (w *responseWriter) pack(s *scratch, sniffed []byte) {
	s.reset()
	s.addAll(w.sent, func(name string) bool {
		switch name {
		case "Content-Length", "Transfer-Encoding":
			return true
		}
		return strings.HasPrefix(name, http.TrailerPrefix) || w.isTrailer(name)
	})
	_, typed := w.sent["Content-Type"]
	if !typed && len(sniffed) > 0 && w.sent.Get("Content-Encoding") == "" && w.bodyAllowed() {
		s.add("Content-Type", http.DetectContentType(sniffed))
	}
}

func (w *responseWriter) isTrailer(name string) bool {
	for _, names := range w.sent["Trailer"] {
		if headerHas(names, name) {
			return true
		}
	}
	return false
}

// begin sends the head of an answer in pieces, and what waits.
func (w *responseWriter) begin(p []byte) {
	if w.started {
		return
	}
	w.started = true
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	sniffed := w.body
	if len(sniffed) == 0 {
		sniffed = p
	}
	w.pack(s, sniffed)
	length := C.uint64_t(C.HYSOCK_UNKNOWN)
	if w.length >= 0 {
		length = C.uint64_t(w.length)
	}
	w.err = w.x.do(func() error {
		var failed C.hysock_error
		text, lens, n := s.pointers()
		return failure(C.glue_start_answer(w.x.handle, C.int32_t(w.status), text, lens, n, length, &failed), &failed)
	})
	if w.err == nil && len(w.body) > 0 {
		w.err = w.send(w.body)
	}
	w.body = nil
}

// send waits where the client takes its time.
func (w *responseWriter) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	for {
		wait := false
		err := w.x.do(func() error {
			var failed C.hysock_error
			status := C.glue_exchange_write(w.x.handle, pointer(p), C.size_t(len(p)), &failed)
			if status == C.HYSOCK_E_WOULD_BLOCK {
				wait = true
				status = C.glue_exchange_on_writable(w.x.handle, w.x.id, &failed)
			}
			return failure(status, &failed)
		})
		if err != nil || !wait {
			return err
		}
		select {
		case <-w.x.writable:
		case <-w.x.engine.done:
			return errClosed
		}
	}
}

// Flush sends what was written so far.
func (w *responseWriter) Flush() { w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *responseWriter) FlushError() error {
	if w.x.hijacked {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.bodyAllowed() {
		return nil
	}
	if w.err == nil {
		w.begin(nil)
	}
	return w.err
}

// EnableFullDuplex is for http.ResponseController: reading and writing at once always works.
func (w *responseWriter) EnableFullDuplex() error { return nil }

// end sends what is left when the handler has returned.
func (w *responseWriter) end() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	hasTrailers := len(w.sent["Trailer"]) > 0
	for name := range w.header {
		hasTrailers = hasTrailers || strings.HasPrefix(name, http.TrailerPrefix)
	}
	switch {
	case w.err != nil:
	case !w.started && !hasTrailers && (w.length < 0 || w.length == w.written):
		w.whole()
	default:
		w.begin(nil)
		if w.err == nil && hasTrailers {
			w.trailers()
		}
		if w.err == nil {
			// Less than was announced is refused here, and the free cuts the connection.
			w.err = w.x.do(func() error { return failure(C.hysock_exchange_finish(w.x.handle, nil), nil) })
		}
	}
}

// whole answers in one crossing.
func (w *responseWriter) whole() {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	w.pack(s, w.body)
	w.err = w.x.do(func() error {
		var failed C.hysock_error
		text, lens, n := s.pointers()
		status := C.glue_answer(w.x.handle, C.int32_t(w.status), text, lens, n, pointer(w.body), C.size_t(len(w.body)), &failed)
		return failure(status, &failed)
	})
}

// trailers sends those that were announced; the client gets them if it asked for some.
func (w *responseWriter) trailers() {
	for name, values := range w.header {
		name, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		if !prefixed && !w.isTrailer(name) {
			continue
		}
		for _, value := range values {
			field, text := C.CString(name), C.CString(value)
			w.x.do(func() error {
				C.hysock_exchange_add_trailer(w.x.handle, field, text, C.size_t(len(value)), nil)
				return nil
			})
			C.free(unsafe.Pointer(field))
			C.free(unsafe.Pointer(text))
		}
	}
}
