package hysock

// #include "glue.h"
import "C"

import (
	"context"
	"iter"
	"sync"
	"unsafe"
)

// A Receiver is a socket that many producers write messages to, and one place where they come out:
// [Receiver.Recv], [Receiver.Batches] or [Receiver.Messages]. Messages of one producer come in the order in
// which it sent them. What nobody takes waits, up to [MaxBytes]; beyond it producers wait, and nothing is lost.
type Receiver struct {
	engine *engine
	handle *C.hysock_receiver
	id     C.uintptr_t

	mu      sync.Mutex
	batches []*C.hysock_batch // they count as held until they are freed
	news    chan struct{}     // has something when somebody who waits should look
	ending  bool
	closed  bool
	stats   C.hysock_receiver_counts // the last ones, when the receiver is freed
	ended   chan struct{}            // closed when no more batches come
	freed   chan struct{}
}

// NewReceiver makes a socket at address, as [Listen] does, and receives what producers send from then on.
func NewReceiver(address string, options ...ReceiverOption) (*Receiver, error) {
	engine, err := acquireEngine()
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		engine: engine, news: make(chan struct{}, 1), ended: make(chan struct{}), freed: make(chan struct{}),
	}
	config, socket := C.hysock_receiver_config_new(), C.hysock_listener_config_new()
	defer C.hysock_receiver_config_free(config)
	defer C.hysock_listener_config_free(socket)
	for _, option := range options {
		option.receiver(config, socket)
	}
	C.hysock_receiver_config_set_queue(config, engine.queue)
	r.id = engine.add(r)
	if err := r.open(address, config, socket); err != nil {
		C.hysock_receiver_free(r.handle)
		engine.remove(r.id)
		engine.release()
		return nil, err
	}
	return r, nil
}

func (r *Receiver) open(address string, config *C.hysock_receiver_config, socket *C.hysock_listener_config) error {
	var failed C.hysock_error
	status := C.hysock_receiver_new(r.engine.runtime, config, &r.handle, &failed)
	if status != C.HYSOCK_OK {
		return failure(status, &failed)
	}
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	status = C.hysock_receiver_add_listener(r.handle, text, C.size_t(len(address)), socket, &failed)
	if status != C.HYSOCK_OK {
		return failure(status, &failed)
	}
	if status = C.glue_on_batch(r.handle, r.id, &failed); status != C.HYSOCK_OK {
		return failure(status, &failed)
	}
	return failure(C.hysock_receiver_start(r.handle, &failed), &failed)
}

func (r *Receiver) event(event *C.glue_event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event.kind {
	case C.HYSOCK_EVENT_BATCH:
		if r.closed {
			C.hysock_batch_free(event.batch)
			return
		}
		r.batches = append(r.batches, event.batch)
		r.tell()
	case C.HYSOCK_EVENT_DROP:
		close(r.ended)
	}
}

func (r *Receiver) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// next is the batch that waits longest, nil without any.
func (r *Receiver) next() *C.hysock_batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.batches) == 0 {
		return nil
	}
	batch := r.batches[0]
	r.batches[0] = nil
	r.batches = r.batches[1:]
	if len(r.batches) > 0 {
		r.tell()
	}
	return batch
}

// Recv gives some messages, one at least, and waits for them. When the receiver has ended and all is taken the
// error is net.ErrClosed. Any number of goroutines may receive.
func (r *Receiver) Recv(ctx context.Context) ([]Message, error) {
	for {
		// Looked at first: nothing is added once it is closed.
		ended := isClosed(r.ended)
		if batch := r.next(); batch != nil {
			if messages := messagesOf(batch); len(messages) > 0 {
				return messages, nil
			}
			continue
		}
		if ended {
			return nil, errClosed
		}
		select {
		case <-r.news:
		case <-r.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Batches are the messages as they come, until the receiver has ended: for batch := range receiver.Batches().
func (r *Receiver) Batches() iter.Seq[[]Message] {
	return func(yield func([]Message) bool) {
		for {
			messages, err := r.Recv(context.Background())
			if err != nil || !yield(messages) {
				return
			}
		}
	}
}

// Messages is a channel of all messages, which is closed when the receiver or the context has ended. It takes
// one batch ahead of whoever reads it: what is left of that when the context ends is lost.
func (r *Receiver) Messages(ctx context.Context) <-chan Message {
	messages := make(chan Message)
	go func() {
		defer close(messages)
		for {
			batch, err := r.Recv(ctx)
			if err != nil {
				return
			}
			for _, message := range batch {
				select {
				case messages <- message:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return messages
}

// Shutdown begins the end: the socket is gone at once, what producers have sent is read and can be received.
// It returns when all of it was read, or with the context's error when that ends first; then [Receiver.Close]
// ends the rest.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.end(C.HYSOCK_FOREVER)
	select {
	case <-r.freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the receiver at once; what nobody took is lost. It may be called again.
func (r *Receiver) Close() error {
	r.mu.Lock()
	r.closed = true
	batches := r.batches
	r.batches = nil
	r.mu.Unlock()
	for _, batch := range batches {
		C.hysock_batch_free(batch)
	}
	r.end(0)
	<-r.freed
	return nil
}

// end begins it; a second one may only be quicker.
func (r *Receiver) end(drain C.uint32_t) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if isClosed(r.ended) {
		return
	}
	C.hysock_receiver_shutdown(r.handle, drain, nil)
	if !r.ending {
		r.ending = true
		go r.free()
	}
}

func (r *Receiver) free() {
	<-r.ended
	r.mu.Lock()
	defer r.mu.Unlock()
	C.hysock_receiver_stats(r.handle, &r.stats, C.size_t(unsafe.Sizeof(r.stats)), nil)
	C.hysock_receiver_free(r.handle)
	r.handle = nil
	r.engine.remove(r.id)
	r.engine.release()
	close(r.freed)
}

// ReceiverStats are what a receiver has counted.
type ReceiverStats struct {
	Received, ReceivedBytes   uint64
	Dropped                   uint64 // by the overflow policy
	Held                      uint64 // bytes, now
	Producers, ProducersTotal uint64
	Truncated                 uint64 // messages that ended too early
	Oversize                  uint64 // producers that announced too much
	Skipped                   uint64 // lines and datagrams beyond the limit
	FilesRefused              uint64
	TimedOut                  uint64
	Abandoned                 uint64 // messages that waited when the receiver was closed
	Forbidden, Overload       uint64
	ListenersLost             uint64
}

// Stats are what the receiver has counted so far, also after its end.
func (r *Receiver) Stats() ReceiverStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handle != nil {
		C.hysock_receiver_stats(r.handle, &r.stats, C.size_t(unsafe.Sizeof(r.stats)), nil)
	}
	c := &r.stats
	return ReceiverStats{
		uint64(c.received), uint64(c.received_bytes), uint64(c.dropped), uint64(c.held), uint64(c.producers),
		uint64(c.producers_total), uint64(c.truncated), uint64(c.oversize), uint64(c.skipped),
		uint64(c.fds_refused), uint64(c.timed_out), uint64(c.abandoned), uint64(c.forbidden),
		uint64(c.overload), uint64(c.listeners_lost),
	}
}
