package hysock

// #include "glue.h"
import "C"

import (
	"context"
	"net/http"
	"net/textproto"
	"sync"
	"time"
	"unsafe"
)

// A Client calls the server behind one socket. It is an http.RoundTripper: the host of a URL is sent as
// the Host header and has no other meaning, and the scheme must be http.
//
// Request bodies are sent and response bodies read piece by piece. A context that ends cancels its call,
// also while the body is read. Any number of goroutines may use a Client.
type Client struct {
	engine *engine
	client *C.hysock_client
	mu     sync.RWMutex // read: a call is being made
	closed bool
}

// A ClientOption changes how a Client is made.
type ClientOption func(*C.hysock_client_config)

// MaxConnections is how many connections a client may have at once; 64 if it is not given.
func MaxConnections(n uint64) ClientOption {
	return func(c *C.hysock_client_config) { C.hysock_client_config_set_max_connections(c, C.uint64_t(n)) }
}

// ConnectTimeout is how long a client waits for a connection; 10 s if it is not given.
func ConnectTimeout(d time.Duration) ClientOption {
	return func(c *C.hysock_client_config) { C.hysock_client_config_set_connect_timeout(c, milliseconds(d)) }
}

func milliseconds(d time.Duration) C.uint32_t {
	return C.uint32_t(min(max(d.Milliseconds(), 0), int64(C.HYSOCK_FOREVER)-1))
}

// NewClient makes a client of the socket at address: a path, @name for an abstract socket, or a URL such as
// unix:///run/x.sock. Nothing is connected before the first call.
func NewClient(address string, options ...ClientOption) (*Client, error) {
	engine, err := acquireEngine()
	if err != nil {
		return nil, err
	}
	c := &Client{engine: engine}
	config := C.hysock_client_config_new()
	defer C.hysock_client_config_free(config)
	for _, option := range options {
		option(config)
	}
	C.hysock_client_config_set_queue(config, engine.queue)
	var failed C.hysock_error
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	status := C.hysock_client_new(engine.runtime, text, C.size_t(len(address)), config, &c.client, &failed)
	if status != C.HYSOCK_OK {
		engine.release()
		return nil, failure(status, &failed)
	}
	return c, nil
}

// HTTP is an http.Client whose requests go to this socket: client.HTTP().Get("http://localhost/status").
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: c} }

// Close ends the client; calls that run end with an error that is net.ErrClosed. It may be called again.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	C.hysock_client_shutdown(c.client, 0, nil)
	// Every call hears of its end before the free takes that away; they have all been cancelled.
	C.hysock_client_wait(c.client, 10000, nil)
	C.hysock_client_free(c.client)
	c.engine.release()
	return nil
}

// A call is one request under way.
type call struct {
	engine   *engine
	client   *Client
	id       C.uintptr_t
	handle   *C.hysock_call
	request  *http.Request
	ended    chan signal
	readable chan signal
	writable chan signal
	mu       sync.Mutex // around each function of the library: one goroutine at a time
	freed    bool
	stop     func() bool // takes the context's end back
}

func (c *call) event(event *C.glue_event) {
	switch event.kind {
	case C.HYSOCK_EVENT_CALL:
		c.ended <- signalOf(event)
	case C.HYSOCK_EVENT_CALL_WRITABLE:
		c.writable <- signalOf(event)
	case C.HYSOCK_EVENT_CALL_READ:
		c.readable <- signalOf(event)
	}
}

// RoundTrip implements http.RoundTripper.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil || r.URL.Scheme != "http" && r.URL.Scheme != "" {
		closeBody(r)
		return nil, &Error{Status: C.HYSOCK_E_INVALID_ARGUMENT, Message: "the scheme of the URL is not http"}
	}
	if err := r.Context().Err(); err != nil {
		closeBody(r)
		return nil, err
	}
	call, err := c.start(r)
	if err != nil {
		closeBody(r)
		return nil, call.failed(err)
	}
	ctx := r.Context()
	call.stop = context.AfterFunc(ctx, func() { C.hysock_call_cancel(call.handle, nil) })
	sent := call.upload(r)
	ended := signal{status: C.HYSOCK_E_SHUT_DOWN}
	select {
	case ended = <-call.ended:
	case <-c.engine.done:
	}
	if ended.status != C.HYSOCK_OK {
		err := call.error(ended.status)
		call.free()
		<-sent
		return nil, call.failed(err)
	}
	return call.response(r, sent)
}

// failed is what the caller is told: the context's own error where it has one.
func (c *call) failed(err error) error {
	if isStatus(err, C.HYSOCK_E_CANCELLED) && c.request.Context().Err() != nil {
		return c.request.Context().Err()
	}
	return err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// start sends the head of a request.
func (c *Client) start(r *http.Request) (*call, error) {
	ca := &call{
		engine: c.engine, client: c, request: r,
		ended: make(chan signal, 1), readable: make(chan signal, 1), writable: make(chan signal, 1),
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return ca, errClosed
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	request := s.request(r)
	ca.id = c.engine.add(ca)
	var failed C.hysock_error
	text, lens, n := s.pointers()
	request.count = n
	status := C.glue_call_start(c.client, &request, text, lens, ca.id, &ca.handle, &failed)
	if status != C.HYSOCK_OK {
		c.engine.remove(ca.id)
		return ca, failure(status, &failed)
	}
	return ca, nil
}

// request packs what goes out.
func (s *scratch) request(r *http.Request) C.glue_request {
	var request C.glue_request
	s.reset()
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	target := r.URL.RequestURI()
	if r.URL.Opaque != "" && method == http.MethodOptions && r.URL.Opaque == "*" {
		target = "*"
	}
	upgrade := upgradeOf(r.Header)
	s.text = append(append(append(s.text, method...), target...), upgrade...)
	request.method_len = C.size_t(len(method))
	request.target_len = C.size_t(len(target))
	request.upgrade_len = C.size_t(len(upgrade))
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if host != "" {
		s.add("Host", host)
	}
	if _, ok := r.Header["User-Agent"]; !ok {
		s.add("User-Agent", "hysock-go")
	}
	s.addAll(r.Header, func(name string) bool {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			return true
		case "User-Agent":
			return r.Header.Get(name) == ""
		case "Connection", "Upgrade":
			return upgrade != ""
		}
		return false
	})
	if r.Body == nil || r.Body == http.NoBody {
		return request
	}
	request.body = C.GLUE_STREAMED
	request.content_length = C.HYSOCK_UNKNOWN
	if r.ContentLength > 0 {
		request.content_length = C.uint64_t(r.ContentLength)
	}
	for name := range r.Trailer {
		s.add("Trailer", name)
	}
	return request
}

// upgradeOf is the protocol that a request wants to go on with.
func upgradeOf(header http.Header) string {
	for _, value := range header["Connection"] {
		if headerHas(value, "upgrade") {
			return header.Get("Upgrade")
		}
	}
	return ""
}

func headerHas(list, token string) bool {
	for _, item := range splitList(list) {
		if textproto.CanonicalMIMEHeaderKey(item) == textproto.CanonicalMIMEHeaderKey(token) {
			return true
		}
	}
	return false
}

// error is how the call went.
func (c *call) error(status C.hysock_status) error {
	var err C.hysock_error
	C.hysock_call_error(c.handle, &err)
	return failure(status, &err)
}

// free ends a call: one that runs is cancelled.
func (c *call) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.freed {
		return
	}
	c.freed = true
	if c.stop != nil {
		c.stop()
	}
	C.hysock_call_free(c.handle)
	c.engine.remove(c.id)
}
