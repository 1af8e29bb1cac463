package hysock

// #include "glue.h"
import "C"

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

// announced is the length that a head names; -1 when it names none.
func announced(header http.Header) int64 {
	n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func splitList(list string) []string {
	items := strings.Split(list, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// response is the answer whose head is there.
func (c *call) response(r *http.Request, sent <-chan struct{}) (*http.Response, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	c.mu.Lock()
	text := s.fill(func(head *C.glue_head, buf *C.char, size C.size_t) { C.glue_call_head(c.handle, head, buf, size) })
	c.mu.Unlock()
	response := &http.Response{
		StatusCode: int(s.head.http_status),
		ProtoMajor: int(s.head.version / 10),
		ProtoMinor: int(s.head.version % 10),
		Header:     s.headers(text),
		Request:    r,
	}
	response.Proto = "HTTP/1.1"
	if response.ProtoMinor == 0 {
		response.Proto = "HTTP/1.0"
	}
	code := response.StatusCode
	response.Status = strconv.Itoa(code) + " " + http.StatusText(code)
	response.ContentLength = -1
	if s.head.content_length != C.HYSOCK_UNKNOWN {
		response.ContentLength = int64(s.head.content_length)
	}
	if response.Header.Get("Transfer-Encoding") != "" {
		response.TransferEncoding = splitList(response.Header.Get("Transfer-Encoding"))
		response.Header.Del("Transfer-Encoding")
	}
	if names := response.Header["Trailer"]; names != nil {
		response.Trailer = http.Header{}
		for _, name := range splitList(strings.Join(names, ",")) {
			response.Trailer[http.CanonicalHeaderKey(name)] = nil
		}
		response.Header.Del("Trailer")
	}
	response.Close = headerHas(response.Header.Get("Connection"), "close")
	if upgradeOf(r.Header) != "" && (code == http.StatusSwitchingProtocols || code/100 == 2 && response.ContentLength < 0) {
		if conn, err := c.takeConn(); err == nil {
			response.Body = conn
			return response, nil
		} else if code == http.StatusSwitchingProtocols {
			c.free()
			return nil, err
		}
	}
	if response.ContentLength == 0 || r.Method == http.MethodHead {
		if r.Method == http.MethodHead {
			response.ContentLength = announced(response.Header)
		}
		go c.settle(sent)
		response.Body = http.NoBody
		return response, nil
	}
	response.Body = &responseBody{call: c, response: response, sent: sent}
	return response, nil
}

// settle frees a call whose answer has no body, when its request is out.
func (c *call) settle(sent <-chan struct{}) {
	<-sent
	c.drain()
	c.free()
}

// drain reads the end, so that the connection can be used again.
func (c *call) drain() {
	var failed C.hysock_error
	var piece C.hysock_str
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.freed {
		C.hysock_call_read(c.handle, &piece, 0, &failed)
	}
}

// A responseBody reads an answer piece by piece.
type responseBody struct {
	call     *call
	response *http.Response
	sent     <-chan struct{}
	reading  sync.Mutex // one Read at a time
	rest     []byte     // of the last piece; the library's memory
	err      error
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	for len(b.rest) == 0 && b.err == nil {
		b.next()
	}
	if len(b.rest) == 0 {
		return 0, b.err
	}
	c := b.call
	// The piece ends with the call.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.freed {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next waits for a piece, the end, or what kept it from coming.
func (b *responseBody) next() {
	c := b.call
	data, wait, err := c.try()
	if wait {
		select {
		case piece := <-c.readable:
			data = piece.data
			if piece.status != C.HYSOCK_OK {
				err = c.error(piece.status)
			}
		case <-c.engine.done:
			err = errClosed
		}
	}
	switch {
	case err != nil:
		b.err = c.failed(err)
		c.free()
	case data == nil:
		b.end()
	default:
		b.rest = data
	}
}

// try asks for a piece; when there is none an event tells of it.
func (c *call) try() (data []byte, wait bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.freed {
		return nil, false, http.ErrBodyReadAfterClose
	}
	var failed C.hysock_error
	var piece C.hysock_str
	status := C.hysock_call_read(c.handle, &piece, 0, &failed)
	if status == C.HYSOCK_E_WOULD_BLOCK {
		status = C.glue_call_read_start(c.handle, c.id, &failed)
		return nil, status == C.HYSOCK_OK, failure(status, &failed)
	}
	if piece.ptr != nil {
		data = view(piece.ptr, piece.len)
	}
	return data, false, failure(status, &failed)
}

// end keeps the trailers; the connection goes back at once.
func (b *responseBody) end() {
	b.err = io.EOF
	s := scratches.Get().(*scratch)
	b.call.mu.Lock()
	text := s.fill(func(head *C.glue_head, buf *C.char, size C.size_t) {
		C.glue_call_trailers(b.call.handle, head, buf, size)
	})
	b.call.mu.Unlock()
	if s.head.count > 0 {
		if b.response.Trailer == nil {
			b.response.Trailer = http.Header{}
		}
		for name, values := range s.headers(text) {
			b.response.Trailer[name] = values
		}
	}
	scratches.Put(s)
	go b.call.settle(b.sent)
}

// Close ends the call when the body was not read to its end. It may be called beside a Read, and again.
func (b *responseBody) Close() error {
	b.call.mu.Lock()
	freed := b.call.freed
	b.call.mu.Unlock()
	if !freed {
		C.hysock_call_cancel(b.call.handle, nil)
	}
	// A Read that waits ends by that.
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
		b.call.free()
	}
	b.rest = nil
	return nil
}

// An upgraded is a connection that speaks another protocol.
type upgraded struct {
	net.Conn
	early io.Reader
}

func (u *upgraded) Read(p []byte) (int, error) {
	if u.early != nil {
		n, err := u.early.Read(p)
		if err == nil {
			return n, nil
		}
		u.early = nil
	}
	return u.Conn.Read(p)
}

// CloseWrite says that nothing more comes; the other direction goes on.
func (u *upgraded) CloseWrite() error {
	if half, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return u.Conn.Close()
}

func (c *call) takeConn() (io.ReadWriteCloser, error) {
	var failed C.hysock_error
	var fd C.int32_t
	var early C.hysock_str
	status := C.hysock_call_take_fd(c.handle, &fd, &early, &failed)
	if status != C.HYSOCK_OK {
		return nil, failure(status, &failed)
	}
	conn, err := newConn(int(fd), view(early.ptr, early.len))
	if err == nil {
		c.free()
	}
	return conn, err
}

// newConn makes a connection of a descriptor, which it owns, and of what came early.
func newConn(fd int, early []byte) (*upgraded, error) {
	file := os.NewFile(uintptr(fd), "upgraded")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	u := &upgraded{Conn: conn}
	if len(early) > 0 {
		u.early = bytes.NewReader(bytes.Clone(early))
	}
	return u, nil
}
