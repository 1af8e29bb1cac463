package hysock

// #include "glue.h"
import "C"

import (
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// A target hears events on the poller's goroutine; it must not block there.
type target interface {
	event(event *C.glue_event)
}

// An engine is the library's threads and the one goroutine that takes what they have for us.
type engine struct {
	runtime *C.hysock_runtime
	queue   *C.hysock_queue
	ready   *os.File // the queue's descriptor, of our own
	events  *C.glue_events
	done    chan struct{} // closed when the poller has ended

	mu      sync.Mutex
	targets map[uintptr]target
	last    uintptr
}

// All clients, servers, receivers and producers of a process share an engine. It ends with the last of them.
var shared struct {
	sync.Mutex
	engine *engine
	users  int
}

func acquireEngine() (*engine, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		engine, err := newEngine()
		if err != nil {
			return nil, err
		}
		shared.engine = engine
	}
	shared.users++
	return shared.engine, nil
}

func (e *engine) release() {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users > 0 {
		return
	}
	shared.engine = nil
	C.hysock_runtime_shutdown(e.runtime, 0, nil)
	<-e.done
}

func newEngine() (*engine, error) {
	var err C.hysock_error
	e := &engine{targets: map[uintptr]target{}, done: make(chan struct{})}
	config := C.hysock_runtime_config_new()
	defer C.hysock_runtime_config_free(config)
	C.hysock_runtime_config_set_callback_threads(config, 1) // nothing of ours runs there
	if status := C.hysock_runtime_new(config, &e.runtime, &err); status != C.HYSOCK_OK {
		return nil, failure(status, &err)
	}
	if status := C.hysock_queue_new(e.runtime, &e.queue, &err); status != C.HYSOCK_OK {
		C.hysock_runtime_free(e.runtime)
		return nil, failure(status, &err)
	}
	// A copy: the file closes its own.
	fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(C.hysock_queue_fd(e.queue)), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		e.free()
		return nil, &Error{Status: C.HYSOCK_E_SYSTEM, Errno: errno, Message: "cannot copy the queue's descriptor"}
	}
	e.ready = os.NewFile(fd, "hysock queue")
	e.events = (*C.glue_events)(C.malloc(C.size_t(unsafe.Sizeof(C.glue_events{}))))
	raw, fileErr := e.ready.SyscallConn()
	if fileErr != nil {
		e.free()
		return nil, fileErr
	}
	go e.poll(raw)
	return e, nil
}

func (e *engine) free() {
	if e.ready != nil {
		e.ready.Close()
	}
	C.free(unsafe.Pointer(e.events))
	C.hysock_queue_free(e.queue)
	C.hysock_runtime_free(e.runtime)
}

// poll takes events in batches; between them it sleeps in Go's own poller, not in C. What it took is given
// back by its next take: they are known by the array, so the goroutine may change threads.
func (e *engine) poll(raw syscall.RawConn) {
	for {
		var n C.int32_t
		err := raw.Read(func(uintptr) bool {
			n = C.glue_take(e.queue, e.events)
			return n != 0
		})
		if err != nil || n < 0 {
			break
		}
		for i := range int(n) {
			e.deliver(&e.events.events[i])
		}
	}
	C.hysock_runtime_wait(e.runtime, C.HYSOCK_FOREVER, nil)
	e.free()
	close(e.done)
}

func (e *engine) deliver(event *C.glue_event) {
	e.mu.Lock()
	to := e.targets[uintptr(event.userdata)]
	e.mu.Unlock()
	if to != nil {
		to.event(event)
	} else if event.kind == C.HYSOCK_EVENT_REQUEST {
		C.hysock_exchange_free((*C.hysock_exchange)(event.handle))
	} else if event.kind == C.HYSOCK_EVENT_BATCH {
		C.hysock_batch_free(event.batch)
	}
}

// add gives a target a number that nobody else ever gets: events that come late find nobody.
func (e *engine) add(to target) C.uintptr_t {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	e.targets[e.last] = to
	return C.uintptr_t(e.last)
}

func (e *engine) remove(id C.uintptr_t) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.targets, uintptr(id))
}

// A signal is an event that a goroutine waits for.
type signal struct {
	status C.hysock_status
	data   []byte // the library's memory
	fd     int
}

func signalOf(event *C.glue_event) signal {
	return signal{event.status, view(event.data, event.len), int(event.fd)}
}

// view is a slice of the library's memory.
func view(data *C.char, n C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), int(n))
}

// handlesLive is how many of the library's handles there are.
func handlesLive() int { return int(C.hysock_handles_live(C.HYSOCK_KIND_ANY)) }
