package hysock

// #include "glue.h"
import "C"

import (
	"context"
	"net/http"
	"sync"
	"unsafe"
)

// A Server answers the requests that come to one socket.
type Server struct {
	engine  *engine
	server  *C.hysock_server
	id      C.uintptr_t
	handler http.Handler

	mu     sync.Mutex
	served bool
	ending bool
	ended  chan struct{} // closed when every request that was taken is answered
	freed  chan struct{} // closed when nothing is left
}

// Listen makes a socket at address, a path or @name for an abstract one, and listens on it. A file that a
// dead server has left is replaced; a living one keeps its path: then the error is syscall.EADDRINUSE.
// Clients may connect from now on and are served from [Server.Serve] on.
func Listen(address string, options ...ListenOption) (*Server, error) {
	engine, err := acquireEngine()
	if err != nil {
		return nil, err
	}
	s := &Server{engine: engine, ended: make(chan struct{}), freed: make(chan struct{})}
	config, socket := C.hysock_server_config_new(), C.hysock_listener_config_new()
	defer C.hysock_server_config_free(config)
	defer C.hysock_listener_config_free(socket)
	for _, option := range options {
		option.server(config, socket)
	}
	C.hysock_server_config_set_queue(config, engine.queue)
	s.id = engine.add(s)
	if err := s.open(address, config, socket); err != nil {
		C.hysock_server_free(s.server)
		engine.remove(s.id)
		engine.release()
		return nil, err
	}
	return s, nil
}

func (s *Server) open(address string, config *C.hysock_server_config, socket *C.hysock_listener_config) error {
	var failed C.hysock_error
	if status := C.hysock_server_new(s.engine.runtime, config, &s.server, &failed); status != C.HYSOCK_OK {
		return failure(status, &failed)
	}
	if status := C.glue_add_route(s.server, s.id, &failed); status != C.HYSOCK_OK {
		return failure(status, &failed)
	}
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	status := C.hysock_server_add_listener(s.server, text, C.size_t(len(address)), socket, &failed)
	return failure(status, &failed)
}

// Serve gives every request to handler, nil for http.DefaultServeMux, each on a goroutine of its own, and
// returns when the server has ended: always with an error, http.ErrServerClosed after Shutdown or Close.
func (s *Server) Serve(handler http.Handler) error {
	if handler == nil {
		handler = http.DefaultServeMux
	}
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	if s.served {
		s.mu.Unlock()
		return &Error{Status: C.HYSOCK_E_STATE, Message: "Serve was called before"}
	}
	s.served = true
	s.handler = handler
	var failed C.hysock_error
	status := C.hysock_server_start(s.server, &failed)
	s.mu.Unlock()
	if status != C.HYSOCK_OK {
		return failure(status, &failed)
	}
	<-s.ended
	return http.ErrServerClosed
}

func (s *Server) event(event *C.glue_event) {
	switch event.kind {
	case C.HYSOCK_EVENT_REQUEST:
		go s.serve((*C.hysock_exchange)(event.handle))
	case C.HYSOCK_EVENT_CLOSED:
		close(s.ended)
	}
}

// Shutdown begins the end: the socket is gone at once, requests that were taken are answered. It returns
// when that is done, or with the context's error when that ends first; then [Server.Close] ends the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end(C.HYSOCK_FOREVER)
	select {
	case <-s.freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the server at once: connections are closed, contexts of requests cancelled. It may be called
// again.
func (s *Server) Close() error {
	s.end(0)
	<-s.freed
	return nil
}

// end begins it; a second one may only be quicker.
func (s *Server) end(drain C.uint32_t) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ended:
		return
	default:
	}
	C.hysock_server_shutdown(s.server, drain, nil)
	if !s.ending {
		s.ending = true
		go s.free()
	}
}

func (s *Server) free() {
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	C.hysock_server_free(s.server)
	s.engine.remove(s.id)
	s.engine.release()
	close(s.freed)
}
