package hysock

// #include "glue.h"
import "C"

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
	"unsafe"
)

// errNoUpgrade is for requests that do not ask for another protocol: their connection stays the server's.
var errNoUpgrade = errors.New("hysock: only a request with an Upgrade header can be hijacked")

// Hijack gives the connection to the handler, which answers 101 itself, as handlers for net/http do, and
// then speaks the other protocol on it. For requests that ask for one by Connection and Upgrade.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.x.hijacked || w.started {
		return nil, nil, http.ErrHijacked
	}
	if upgradeOf(w.request.Header) == "" {
		return nil, nil, errNoUpgrade
	}
	w.x.hijacked = true
	conn := &hijacked{x: w.x, request: w.request, opened: make(chan struct{})}
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

// A hijacked is a connection whose first bytes are the head of the handler's answer.
type hijacked struct {
	x       *exchange
	request *http.Request

	mu     sync.Mutex
	head   []byte
	opened chan struct{} // closed when conn or err is there
	conn   *upgraded
	err    error
	closed bool
}

func (h *hijacked) Write(p []byte) (int, error) {
	select {
	case <-h.opened:
		if h.err != nil {
			return 0, h.err
		}
		return h.conn.Write(p)
	default:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.head = append(h.head, p...)
	end := bytes.Index(h.head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(h.head) > 1<<16 {
			h.fail(errors.New("hysock: the handler's answer has no end of its head"))
			return 0, h.err
		}
		return len(p), nil
	}
	rest := bytes.Clone(h.head[end+4:])
	h.open(h.head[:end+4])
	if h.err != nil {
		return 0, h.err
	}
	if _, err := h.conn.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *hijacked) fail(err error) {
	h.err = err
	h.x.free()
	close(h.opened)
}

// open answers with the handler's head and gets the descriptor.
func (h *hijacked) open(head []byte) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), h.request)
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New("hysock: a hijacked connection begins with a 101, this is " + response.Status)
	}
	if err == nil {
		err = h.upgrade(response.Header)
	}
	if err != nil {
		h.fail(err)
		return
	}
	select {
	case opened := <-h.x.switched:
		if opened.fd < 0 {
			err = &Error{Status: C.HYSOCK_E_CLOSED, Message: "the client left before the switch"}
		} else {
			h.conn, err = newConn(opened.fd, opened.data)
		}
	case <-h.x.engine.done:
		err = errClosed
	}
	if err != nil {
		h.fail(err)
		return
	}
	close(h.opened)
}

func (h *hijacked) upgrade(header http.Header) error {
	protocol := C.CString(header.Get("Upgrade"))
	defer C.free(unsafe.Pointer(protocol))
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.reset()
	s.addAll(header, func(name string) bool {
		return name == "Connection" || name == "Upgrade" || name == "Content-Length" || name == "Transfer-Encoding"
	})
	return h.x.do(func() error {
		var failed C.hysock_error
		text, lens, n := s.pointers()
		return failure(C.glue_exchange_upgrade(h.x.handle, protocol, text, lens, n, h.x.id, &failed), &failed)
	})
}

func (h *hijacked) Read(p []byte) (int, error) {
	<-h.opened
	if h.err != nil {
		return 0, h.err
	}
	return h.conn.Read(p)
}

// Close ends the session.
func (h *hijacked) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return net.ErrClosed
	}
	h.closed = true
	select {
	case <-h.opened:
	default:
		h.fail(net.ErrClosed)
	}
	h.x.free()
	h.x.cancel()
	if h.conn == nil {
		return nil
	}
	return h.conn.Close()
}

// CloseWrite says that nothing more comes; the other direction goes on.
func (h *hijacked) CloseWrite() error {
	<-h.opened
	if h.err != nil {
		return h.err
	}
	return h.conn.CloseWrite()
}

func (h *hijacked) LocalAddr() net.Addr  { return &net.UnixAddr{Name: "@", Net: "unix"} }
func (h *hijacked) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "@", Net: "unix"} }

func (h *hijacked) deadline(set func(*upgraded) error) error {
	select {
	case <-h.opened:
		if h.err != nil {
			return h.err
		}
		return set(h.conn)
	default:
		return nil // before the switch the server's own deadlines hold
	}
}

func (h *hijacked) SetDeadline(t time.Time) error {
	return h.deadline(func(c *upgraded) error { return c.SetDeadline(t) })
}

func (h *hijacked) SetReadDeadline(t time.Time) error {
	return h.deadline(func(c *upgraded) error { return c.SetReadDeadline(t) })
}

func (h *hijacked) SetWriteDeadline(t time.Time) error {
	return h.deadline(func(c *upgraded) error { return c.SetWriteDeadline(t) })
}
