package hysock

// #include "glue.h"
import "C"

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// A Producer sends messages to one receiver, across its restarts. It connects with the first message; what the
// receiver does not take at once waits in a queue, up to [MaxQueue]. Any number of goroutines may use it.
//
// A message that was sent is not received yet: [Producer.Flush] says how far messages have come, and
// [Producer.Shutdown] what became of all of them.
type Producer struct {
	engine *engine
	handle *C.hysock_producer
	once   sync.Once
	lines  bool
	ends   byte // of lines: the delimiter
}

// How long a goroutine waits in C for room at a time: a context's end may be noticed so much later.
const slice = 50 * time.Millisecond

// NewProducer makes a producer for the receiver at address; that may be absent for now.
func NewProducer(address string, options ...ProducerOption) (*Producer, error) {
	engine, err := acquireEngine()
	if err != nil {
		return nil, err
	}
	p := &Producer{engine: engine}
	config := C.hysock_producer_config_new()
	defer C.hysock_producer_config_free(config)
	for _, option := range options {
		option.producer(config)
		switch option := option.(type) {
		case Delimiter:
			p.ends, p.lines = byte(option), true
		case Framing:
			p.lines = false
		}
	}
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	var failed C.hysock_error
	status := C.hysock_producer_new(engine.runtime, text, C.size_t(len(address)), config, &p.handle, &failed)
	if status != C.HYSOCK_OK {
		engine.release()
		return nil, failure(status, &failed)
	}
	return p, nil
}

// patiently runs try until it gives something else than "no room", first without waiting, then for a slice
// of time after the other, until the context ends.
func patiently(ctx context.Context, try func(timeout C.uint32_t, failed *C.hysock_error) C.hysock_status) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var failed C.hysock_error
	status := try(0, &failed)
	for status == C.HYSOCK_E_WOULD_BLOCK || status == C.HYSOCK_E_TIMED_OUT {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait := slice
		if deadline, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(deadline))
		}
		status = try(max(milliseconds(wait), 1), &failed)
	}
	return failure(status, &failed)
}

// Send sends one message: at once, or through the queue. While that is full it waits, in C for up to 50 ms at a
// time, until the context ends; then the message was not sent.
func (p *Producer) Send(ctx context.Context, message []byte) error {
	return patiently(ctx, func(timeout C.uint32_t, failed *C.hysock_error) C.hysock_status {
		return C.glue_send(p.handle, pointer(message), C.size_t(len(message)), timeout, failed)
	})
}

// Write sends p as one message, without the delimiter that it may end with: so log.New(producer, "", 0) logs
// through a producer of lines. It is io.Writer.
func (p *Producer) Write(message []byte) (int, error) {
	body := message
	if p.lines && len(body) > 0 && body[len(body)-1] == p.ends {
		body = body[:len(body)-1]
	}
	if err := p.Send(context.Background(), body); err != nil {
		return 0, err
	}
	return len(message), nil
}

// SendBatch sends messages in order, many with one system call; says how many were sent, fewer than all only
// with the error that stopped it.
func (p *Producer) SendBatch(ctx context.Context, messages [][]byte) (int, error) {
	lens := make([]C.size_t, len(messages))
	for i, message := range messages {
		lens[i] = C.size_t(len(message))
	}
	text := bytes.Join(messages, nil)
	sent := 0
	err := patiently(ctx, func(timeout C.uint32_t, failed *C.hysock_error) C.hysock_status {
		var some C.size_t
		status := C.glue_send_batch(
			p.handle, pointer(text), unsafe.SliceData(lens), C.size_t(len(lens)), timeout, &some, failed)
		for _, n := range lens[:some] {
			text = text[n:]
		}
		lens = lens[some:]
		sent += int(some)
		return status
	})
	return sent, err
}

// SendFiles sends one message with open files, which stay the caller's; see [Files].
func (p *Producer) SendFiles(ctx context.Context, message []byte, files ...*os.File) error {
	fds := make([]C.int32_t, len(files))
	for i, file := range files {
		raw, err := file.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds[i] = C.int32_t(fd) }); err != nil {
			return err
		}
	}
	defer runtime.KeepAlive(files)
	return patiently(ctx, func(timeout C.uint32_t, failed *C.hysock_error) C.hysock_status {
		return C.glue_send_fds(p.handle, pointer(message), C.size_t(len(message)), unsafe.SliceData(fds),
			C.size_t(len(fds)), timeout, failed)
	})
}

// Flush waits until the receiving process has read every message that was sent before. The error is
// net.ErrClosed when a connection broke since the last Flush and some are in doubt.
func (p *Producer) Flush(ctx context.Context) error {
	result := make(chan error, 1)
	timeout := C.uint32_t(C.HYSOCK_FOREVER)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = milliseconds(time.Until(deadline))
	}
	go func() {
		var failed C.hysock_error
		result <- failure(C.hysock_producer_flush(p.handle, C.HYSOCK_FLUSH_READ, timeout, &failed), &failed)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A ProducerReport is what became of the messages of a producer that was shut down.
type ProducerReport struct {
	Delivered uint64 // read by the receiving process
	InDoubt   uint64 // written to a connection that broke, or not read in time: nobody can know
	Unsent    uint64
	Dropped   uint64
}

// Shutdown takes no more messages, waits until those that were sent are read, and says what became of all of
// them. When the context ends before, the rest is given up.
func (p *Producer) Shutdown(ctx context.Context) (ProducerReport, error) {
	var report C.hysock_producer_report
	var failed C.hysock_error
	hurry := context.AfterFunc(ctx, func() { C.hysock_producer_shutdown(p.handle, 0, nil, 0, nil) })
	defer hurry()
	drain := C.uint32_t(C.HYSOCK_FOREVER)
	if ctx.Err() != nil {
		drain = 0
	}
	status := C.hysock_producer_shutdown(p.handle, drain, &report, C.size_t(unsafe.Sizeof(report)), &failed)
	return ProducerReport{
		uint64(report.delivered), uint64(report.in_doubt), uint64(report.unsent), uint64(report.dropped),
	}, failure(status, &failed)
}

// Close ends the producer at once: what waits is lost, see [Producer.Shutdown]. It may be called again.
func (p *Producer) Close() error {
	p.once.Do(func() {
		C.hysock_producer_free(p.handle)
		p.engine.release()
	})
	return nil
}

// ProducerStats are what a producer has counted.
type ProducerStats struct {
	Written       uint64 // messages that the kernel took
	Queued        uint64 // messages that wait now
	InDoubt       uint64
	DroppedOldest uint64
	DroppedNewest uint64
	Refused       uint64 // by the socket
	Connections   uint64
}

// Stats are what the producer has counted so far, until it is closed.
func (p *Producer) Stats() ProducerStats {
	var c C.hysock_producer_counts
	C.hysock_producer_stats(p.handle, &c, C.size_t(unsafe.Sizeof(c)), nil)
	return ProducerStats{
		uint64(c.written), uint64(c.queued), uint64(c.in_doubt), uint64(c.dropped_oldest),
		uint64(c.dropped_newest), uint64(c.refused), uint64(c.connections),
	}
}
