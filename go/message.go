package hysock

// #include "glue.h"
import "C"

import (
	"os"
	"time"
	"unsafe"
)

// A Message is one message of a producer, or with [Events] news of a producer.
type Message struct {
	Data []byte
	// Producer is a number that no other producer of the receiver gets.
	Producer uint64
	// Sequence is the message's number among its producer's, from 0: a gap shows what was dropped or passed
	// over. Of a Disconnected it says why: see [Gone].
	Sequence uint64
	Flags    MessageFlags
	// Peer is who sent it, as the kernel knows it; nil when it does not.
	Peer *Peer
	// Files came with it, where [Files] is on. Close them.
	Files []*os.File
}

// MessageFlags say what is special about a message.
type MessageFlags uint32

const (
	// Partial is the last line of a stream, without its delimiter.
	Partial MessageFlags = C.HYSOCK_MESSAGE_PARTIAL
	// Truncated is the beginning of a datagram or packet that was too long.
	Truncated MessageFlags = C.HYSOCK_MESSAGE_TRUNCATED
	// WithFiles came with files.
	WithFiles MessageFlags = C.HYSOCK_MESSAGE_FDS
	// Connected is no message: a producer has connected.
	Connected MessageFlags = C.HYSOCK_MESSAGE_CONNECTED
	// Disconnected is no message: a producer is gone.
	Disconnected MessageFlags = C.HYSOCK_MESSAGE_DISCONNECTED
)

// Gone is why a producer is gone, the Sequence of a [Disconnected].
type Gone uint64

const (
	GoneClosed    Gone = C.HYSOCK_GONE_CLOSED    // between two messages
	GoneTruncated Gone = C.HYSOCK_GONE_TRUNCATED // in the middle of a message
	GoneOversize  Gone = C.HYSOCK_GONE_OVERSIZE  // it announced too long a message: Data is how it began
	GoneTimedOut  Gone = C.HYSOCK_GONE_TIMED_OUT // a message under way stood still
	GoneShutDown  Gone = C.HYSOCK_GONE_SHUT_DOWN // the receiver has ended
	GoneError     Gone = C.HYSOCK_GONE_ERROR
	GoneRejected  Gone = C.HYSOCK_GONE_REJECTED // it was not let in: there was no Connected
)

// messagesOf copies a batch and frees it: Go's memory needs no end, and the receiver may go on reading.
func messagesOf(batch *C.hysock_batch) []Message {
	defer C.hysock_batch_free(batch)
	var bytes C.size_t
	count := int(C.glue_batch_size(batch, &bytes))
	if count == 0 {
		return nil
	}
	data, parts := make([]byte, int(bytes)), make([]C.glue_message, count)
	C.glue_batch_copy(batch, pointer(data), unsafe.SliceData(parts))
	messages := make([]Message, count)
	var peer *Peer
	for i := range messages {
		part, message := &parts[i], &messages[i]
		if i == 0 || part.producer != parts[i-1].producer {
			peer = nil
			if part.peer_known != 0 {
				peer = &Peer{uint32(part.uid), uint32(part.gid), int32(part.pid)}
			}
		}
		n := int(part.len)
		*message = Message{
			Data: data[:n:n], Producer: uint64(part.producer), Sequence: uint64(part.sequence),
			Flags: MessageFlags(part.flags), Peer: peer,
		}
		data = data[n:]
		for message.Flags&WithFiles != 0 {
			fd := C.hysock_batch_take_fd(batch, C.size_t(i))
			if fd < 0 {
				break
			}
			message.Files = append(message.Files, os.NewFile(uintptr(fd), "from a message"))
		}
	}
	return messages
}

// A ReceiverOption changes how [NewReceiver] makes a receiver; every [SocketOption] is one.
type ReceiverOption interface {
	receiver(*C.hysock_receiver_config, *C.hysock_listener_config)
}

// A ProducerOption changes how [NewProducer] makes a producer.
type ProducerOption interface {
	producer(*C.hysock_producer_config)
}

// A MessageOption is for both sides, which must be set alike: a [ReceiverOption] and a [ProducerOption].
type MessageOption struct {
	ofReceiver func(*C.hysock_receiver_config)
	ofProducer func(*C.hysock_producer_config)
}

func (o MessageOption) receiver(c *C.hysock_receiver_config, _ *C.hysock_listener_config) {
	o.ofReceiver(c)
}
func (o MessageOption) producer(c *C.hysock_producer_config) { o.ofProducer(c) }

// A Framing is how messages stand on the wire: a [ReceiverOption] and a [ProducerOption]. If none is given it is
// U32BE.
type Framing int32

const (
	U32BE     Framing = C.HYSOCK_FRAMING_U32BE // a length of four bytes before each message
	U32LE     Framing = C.HYSOCK_FRAMING_U32LE // as DogStatsD's stream mode has it
	Raw       Framing = C.HYSOCK_FRAMING_RAW   // no boundaries: each read gives a chunk
	Seqpacket Framing = C.HYSOCK_FRAMING_SEQPACKET
	Datagram  Framing = C.HYSOCK_FRAMING_DATAGRAM
)

func (f Framing) receiver(c *C.hysock_receiver_config, _ *C.hysock_listener_config) {
	C.hysock_receiver_config_set_framing(c, C.int32_t(f))
}
func (f Framing) producer(c *C.hysock_producer_config) {
	C.hysock_producer_config_set_framing(c, C.int32_t(f))
}

// A Delimiter is a framing: the byte ends each message and is not part of it. Delimiter('\n') is for lines.
type Delimiter byte

func (d Delimiter) receiver(c *C.hysock_receiver_config, _ *C.hysock_listener_config) {
	C.hysock_receiver_config_set_delimiter(c, C.uint8_t(d))
}
func (d Delimiter) producer(c *C.hysock_producer_config) {
	C.hysock_producer_config_set_delimiter(c, C.uint8_t(d))
}

// An Overflow says what becomes of messages for which there is no room: a [ReceiverOption] and a
// [ProducerOption].
type Overflow int32

const (
	Block      Overflow = C.HYSOCK_OVERFLOW_BLOCK // senders wait: if nothing else is given
	DropNewest Overflow = C.HYSOCK_OVERFLOW_DROP_NEWEST
	DropOldest Overflow = C.HYSOCK_OVERFLOW_DROP_OLDEST
	Fail       Overflow = C.HYSOCK_OVERFLOW_FAIL // of producers
)

func (o Overflow) receiver(c *C.hysock_receiver_config, _ *C.hysock_listener_config) {
	C.hysock_receiver_config_set_overflow(c, C.int32_t(o))
}
func (o Overflow) producer(c *C.hysock_producer_config) {
	C.hysock_producer_config_set_overflow(c, C.int32_t(o))
}

// MaxMessage is the longest message; 1 MiB if it is not given.
func MaxMessage(bytes uint64) MessageOption {
	return MessageOption{
		func(c *C.hysock_receiver_config) { C.hysock_receiver_config_set_max_message(c, C.uint64_t(bytes)) },
		func(c *C.hysock_producer_config) { C.hysock_producer_config_set_max_message(c, C.uint64_t(bytes)) },
	}
}

// Files lets messages carry open files.
func Files() MessageOption {
	return MessageOption{
		func(c *C.hysock_receiver_config) { C.hysock_receiver_config_set_fds(c, true) },
		func(c *C.hysock_producer_config) { C.hysock_producer_config_set_fds(c, true) },
	}
}

type receiverOption func(*C.hysock_receiver_config)

func (o receiverOption) receiver(c *C.hysock_receiver_config, _ *C.hysock_listener_config) { o(c) }

// MaxBytes is how much a receiver holds of messages that nobody took, in all and of one producer: 16 MiB and
// 4 MiB if it is not given. Beyond it producers wait.
func MaxBytes(all, perProducer uint64) ReceiverOption {
	return receiverOption(func(c *C.hysock_receiver_config) {
		C.hysock_receiver_config_set_max_bytes(c, C.uint64_t(all))
		C.hysock_receiver_config_set_max_bytes_per_producer(c, C.uint64_t(perProducer))
	})
}

// FrameTimeout is how long a message under way may stand still; 30 s if it is not given.
func FrameTimeout(d time.Duration) ReceiverOption {
	return receiverOption(func(c *C.hysock_receiver_config) {
		C.hysock_receiver_config_set_frame_timeout(c, milliseconds(d))
	})
}

// Events makes connects and disconnects of producers come out among the messages.
func Events() ReceiverOption {
	return receiverOption(func(c *C.hysock_receiver_config) { C.hysock_receiver_config_set_events(c, true) })
}

type producerOption func(*C.hysock_producer_config)

func (o producerOption) producer(c *C.hysock_producer_config) { o(c) }

// MaxQueue is how many bytes of messages may wait while the receiver is busy or away; 1 MiB if it is not given.
func MaxQueue(bytes uint64) ProducerOption {
	return producerOption(func(c *C.hysock_producer_config) {
		C.hysock_producer_config_set_max_queue(c, C.uint64_t(bytes))
	})
}
