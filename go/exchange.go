package hysock

// #include "glue.h"
import "C"

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
)

// An exchange is one request under way.
type exchange struct {
	engine   *engine
	id       C.uintptr_t
	handle   *C.hysock_exchange
	cancel   context.CancelFunc
	readable chan signal
	writable chan signal
	switched chan signal
	mu       sync.Mutex // around each function of the library: one goroutine at a time
	freed    bool
	hijacked bool
}

func (x *exchange) event(event *C.glue_event) {
	switch event.kind {
	case C.HYSOCK_EVENT_GONE:
		x.cancel()
	case C.HYSOCK_EVENT_READ:
		x.readable <- signalOf(event)
	case C.HYSOCK_EVENT_WRITABLE:
		x.writable <- signalOf(event)
	case C.HYSOCK_EVENT_UPGRADED:
		x.switched <- signalOf(event)
	}
}

// do runs f unless the exchange is over.
func (x *exchange) do(f func() error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.freed {
		return http.ErrBodyReadAfterClose
	}
	return f()
}

func (x *exchange) free() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.freed {
		x.freed = true
		C.hysock_exchange_free(x.handle)
		x.engine.remove(x.id)
	}
}

// serve answers one request.
func (s *Server) serve(handle *C.hysock_exchange) {
	ctx, cancel := context.WithCancel(context.Background())
	x := &exchange{
		engine: s.engine, handle: handle, cancel: cancel,
		readable: make(chan signal, 1), writable: make(chan signal, 1), switched: make(chan signal, 1),
	}
	defer cancel()
	x.id = s.engine.add(x)
	C.glue_on_gone(handle, x.id)
	request, err := x.request(ctx)
	w := &responseWriter{x: x, request: request}
	if err != nil {
		w.request = &http.Request{Method: http.MethodGet, Header: http.Header{}}
		http.Error(w, "400 bad request", http.StatusBadRequest)
		w.end()
		x.free()
		return
	}
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				log.Printf("hysock: panic serving %s %s: %v\n%s", request.Method, request.RequestURI, p, debug.Stack())
			}
			// Unanswered it becomes a 500; half an answer is cut.
			x.free()
		}
	}()
	s.handler.ServeHTTP(w, request)
	if x.hijacked {
		return
	}
	w.end()
	x.free()
}

// request is what came in, by one crossing into C.
func (x *exchange) request(ctx context.Context) (*http.Request, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	text := s.fill(func(head *C.glue_head, buf *C.char, size C.size_t) { C.glue_exchange_head(x.handle, head, buf, size) })
	method, text := text[:s.head.method_len], text[s.head.method_len:]
	target, text := text[:s.head.target_len], text[s.head.target_len:]
	if s.head.peer_known != 0 {
		ctx = context.WithValue(ctx, peerKey{}, Peer{uint32(s.head.uid), uint32(s.head.gid), int32(s.head.pid)})
	}
	request := (&http.Request{
		Method:     method,
		RequestURI: target,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: int(s.head.version % 10),
		Header:     s.headers(text),
		RemoteAddr: "@",
		Body:       http.NoBody,
	}).WithContext(ctx)
	if request.ProtoMinor == 0 {
		request.Proto = "HTTP/1.0"
	}
	request.Host = request.Header.Get("Host")
	delete(request.Header, "Host")
	request.Close = headerHas(request.Header.Get("Connection"), "close")
	if coding := request.Header.Get("Transfer-Encoding"); coding != "" {
		request.TransferEncoding = splitList(coding)
		delete(request.Header, "Transfer-Encoding")
	}
	if names := request.Header["Trailer"]; names != nil {
		request.Trailer = http.Header{}
		for _, name := range splitList(strings.Join(names, ",")) {
			request.Trailer[http.CanonicalHeaderKey(name)] = nil
		}
		delete(request.Header, "Trailer")
	}
	request.ContentLength = -1
	if s.head.content_length != C.HYSOCK_UNKNOWN {
		request.ContentLength = int64(s.head.content_length)
	}
	if request.ContentLength != 0 {
		request.Body = &requestBody{x: x, request: request}
	}
	if target == "*" {
		request.URL = &url.URL{Path: "*"}
		return request, nil
	}
	var err error
	request.URL, err = url.ParseRequestURI(target)
	return request, err
}

// A requestBody reads a request piece by piece: nothing is taken from the client before it is asked for.
type requestBody struct {
	x       *exchange
	request *http.Request
	reading sync.Mutex
	rest    []byte // of the last piece; the library's memory
	err     error
}

func (b *requestBody) Read(p []byte) (n int, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	for len(b.rest) == 0 && b.err == nil {
		b.next()
	}
	if len(b.rest) == 0 {
		return 0, b.err
	}
	err = b.x.do(func() error {
		n = copy(p, b.rest)
		b.rest = b.rest[n:]
		return nil
	})
	return n, err
}

func (b *requestBody) next() {
	data, wait, err := b.try()
	if wait {
		select {
		case piece := <-b.x.readable:
			data, err = piece.data, failure(piece.status, nil)
		case <-b.x.engine.done:
			err = errClosed
		}
	}
	switch {
	case err != nil:
		b.err = err
	case data == nil:
		b.end()
	default:
		b.rest = data
	}
}

func (b *requestBody) try() (data []byte, wait bool, err error) {
	err = b.x.do(func() error {
		var failed C.hysock_error
		var piece C.hysock_str
		status := C.hysock_exchange_read(b.x.handle, &piece, 0, &failed)
		if status == C.HYSOCK_E_WOULD_BLOCK {
			status = C.glue_exchange_read_start(b.x.handle, b.x.id, &failed)
			wait = status == C.HYSOCK_OK
		} else if piece.ptr != nil {
			data = view(piece.ptr, piece.len)
		}
		return failure(status, &failed)
	})
	return data, wait, err
}

func (b *requestBody) end() {
	b.err = io.EOF
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	b.x.do(func() error {
		text := s.fill(func(head *C.glue_head, buf *C.char, size C.size_t) {
			C.glue_exchange_trailers(b.x.handle, head, buf, size)
		})
		if s.head.count > 0 && b.request.Trailer == nil {
			b.request.Trailer = http.Header{}
		}
		for name, values := range s.headers(text) {
			b.request.Trailer[name] = values
		}
		return nil
	})
}

// Close gives up the rest.
func (b *requestBody) Close() error { return nil }
