package hysock

// #include "glue.h"
import "C"

import (
	"errors"
	"io"
	"net/http"
	"unsafe"
)

// upload sends the request's body beside the answer; the channel is closed when nothing reads it any more.
func (c *call) upload(r *http.Request) <-chan struct{} {
	done := make(chan struct{})
	if r.Body == nil || r.Body == http.NoBody {
		closeBody(r)
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer r.Body.Close()
		_, err := io.Copy(callWriter{c}, r.Body)
		switch {
		case err == nil:
			c.finish(r.Trailer)
		case !errors.As(err, new(*Error)):
			// The body's own failure: what was sent must not pass for the whole.
			C.hysock_call_cancel(c.handle, nil)
		}
	}()
	return done
}

func (c *call) finish(trailer http.Header) {
	for name, values := range trailer {
		for _, value := range values {
			field, text := C.CString(name), C.CString(value)
			c.mu.Lock()
			if !c.freed {
				C.hysock_call_add_trailer(c.handle, field, text, C.size_t(len(value)))
			}
			c.mu.Unlock()
			C.free(unsafe.Pointer(field))
			C.free(unsafe.Pointer(text))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.freed {
		C.hysock_call_finish(c.handle, nil)
	}
}

type callWriter struct{ *call }

// Write waits where the server takes its time.
func (w callWriter) Write(p []byte) (int, error) {
	for {
		wait, err := w.try(p)
		if err != nil {
			return 0, err
		}
		if !wait {
			return len(p), nil
		}
		select {
		case <-w.writable:
		case <-w.engine.done:
			return 0, errClosed
		}
	}
}

func (w callWriter) try(p []byte) (wait bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.freed {
		return false, errClosed
	}
	var failed C.hysock_error
	status := C.glue_call_write(w.handle, pointer(p), C.size_t(len(p)), &failed)
	if status != C.HYSOCK_E_WOULD_BLOCK {
		return false, failure(status, &failed)
	}
	status = C.glue_call_on_writable(w.handle, w.id, &failed)
	return true, failure(status, &failed)
}
