package hysock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"hysock"
)

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func receive(t testing.TB, path string, options ...hysock.ReceiverOption) *hysock.Receiver {
	t.Helper()
	receiver, err := hysock.NewReceiver(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.Close() })
	return receiver
}

func produce(t testing.TB, path string, options ...hysock.ProducerOption) *hysock.Producer {
	t.Helper()
	producer, err := hysock.NewProducer(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { producer.Close() })
	return producer
}

// take receives n messages.
func take(t testing.TB, receiver *hysock.Receiver, n int) []hysock.Message {
	t.Helper()
	var all []hysock.Message
	for len(all) < n {
		batch, err := receiver.Recv(within(t))
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		all = append(all, batch...)
	}
	return all
}

func send(t testing.TB, producer *hysock.Producer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := producer.Send(within(t), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMessagesInEachFraming(t *testing.T) {
	type framing interface {
		hysock.ReceiverOption
		hysock.ProducerOption
	}
	for _, framing := range []framing{
		hysock.U32BE, hysock.U32LE, hysock.Seqpacket, hysock.Datagram, hysock.Delimiter('\n'), hysock.Delimiter(0),
	} {
		t.Run(fmt.Sprintf("%T %v", framing, framing), func(t *testing.T) {
			path := socketPath(t)
			receiver := receive(t, path, framing, hysock.Mode(0o640))
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("the file: %v, %v", info, err)
			}
			producer := produce(t, path, framing)
			var texts []string
			for i := range 3000 {
				texts = append(texts, fmt.Sprint("message ", i))
			}
			sent := make(chan error, 1)
			go func() {
				for _, text := range texts[:1000] {
					if err := producer.Send(within(t), []byte(text)); err != nil {
						sent <- err
						return
					}
				}
				var batch [][]byte
				for _, text := range texts[1000:] {
					batch = append(batch, []byte(text))
				}
				n, err := producer.SendBatch(within(t), batch)
				want(t, "sent", n, 2000)
				sent <- err
			}()
			all := take(t, receiver, 3000)
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			for i, message := range all {
				if string(message.Data) != texts[i] || message.Sequence != uint64(i) || message.Producer != all[0].Producer {
					t.Fatalf("message %d: %q of %d, number %d", i, message.Data, message.Producer, message.Sequence)
				}
				if message.Peer == nil || int(message.Peer.PID) != os.Getpid() || int(message.Peer.UID) != os.Getuid() {
					t.Fatalf("sent by %+v", message.Peer)
				}
			}
			if err := producer.Flush(within(t)); err != nil {
				t.Error(err)
			}
			report, err := producer.Shutdown(within(t))
			want(t, "error", err, nil)
			want(t, "report", report, hysock.ProducerReport{Delivered: 3000})
			want(t, "received", receiver.Stats().Received, 3000)
		})
	}
}

func TestReceiverAsIteratorAndChannel(t *testing.T) {
	path := socketPath(t)
	receiver := receive(t, path, hysock.Raw)
	connection, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(connection, "one")
	for batch := range receiver.Batches() {
		want(t, "chunk", string(batch[0].Data), "one")
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	messages := receiver.Messages(ctx)
	io.WriteString(connection, "two")
	want(t, "chunk", string((<-messages).Data), "two")
	cancel()
	if _, open := <-messages; open {
		t.Error("a channel without a context")
	}
	// What was sent before the end comes before the end.
	io.WriteString(connection, "three")
	connection.Close()
	if err := receiver.Shutdown(within(t)); err != nil {
		t.Fatal(err)
	}
	var rest []string
	for batch := range receiver.Batches() {
		for _, message := range batch {
			rest = append(rest, string(message.Data))
		}
	}
	want(t, "the rest", strings.Join(rest, ","), "three")
	if _, err := receiver.Recv(within(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	for range receiver.Messages(within(t)) {
		t.Error("a message after the end")
	}
}

func TestLinesOfAnyProgramAndOfALogger(t *testing.T) {
	path := socketPath(t)
	receiver := receive(t, path, hysock.Delimiter('\n'), hysock.Events(), hysock.AllowSelf())
	producer := produce(t, path, hysock.Delimiter('\n'))
	log.New(producer, "app: ", 0).Print("started")
	all := take(t, receiver, 2)
	want(t, "event", all[0].Flags, hysock.Connected)
	want(t, "line", string(all[1].Data), "app: started")
	if err := producer.Send(within(t), []byte("two\nlines")); err == nil || !strings.Contains(err.Error(), "delimiter") {
		t.Errorf("a delimiter inside: %v", err)
	}
	connection, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(connection, "a\n\nhalf")
	connection.Close()
	var got []string
	for _, message := range take(t, receiver, 5) {
		got = append(got, fmt.Sprintf("%d %q", message.Flags, message.Data))
		if message.Flags == hysock.Disconnected {
			want(t, "reason", hysock.Gone(message.Sequence), hysock.GoneClosed)
		}
	}
	want(t, "lines", strings.Join(got, ", "), `256 "", 0 "a", 0 "", 1 "half", 512 ""`)
}

func TestFilesWithMessages(t *testing.T) {
	for _, framing := range []hysock.Framing{hysock.U32BE, hysock.Seqpacket, hysock.Datagram} {
		path := socketPath(t)
		receiver := receive(t, path, framing, hysock.Files())
		producer := produce(t, path, framing, hysock.Files())
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := producer.SendFiles(within(t), []byte("take it"), write); err != nil {
			t.Fatal(err)
		}
		write.Close()
		message := take(t, receiver, 1)[0]
		want(t, "text", string(message.Data), "take it")
		want(t, "files", len(message.Files), 1)
		io.WriteString(message.Files[0], "through")
		message.Files[0].Close()
		text, err := io.ReadAll(read)
		want(t, "through the file", string(text), "through")
		want(t, "error", err, nil)
		read.Close()
		if err := produce(t, path, framing).SendFiles(within(t), []byte("no"), read); err == nil {
			t.Error("files without the option")
		}
	}
}

func TestSendKeepsToItsContext(t *testing.T) {
	producer := produce(t, socketPath(t), hysock.MaxQueue(1000))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var err error
	for err == nil {
		err = producer.Send(ctx, make([]byte, 100))
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a full queue: %v", err)
	}
	want(t, "queued", producer.Stats().Queued, 6)
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if n, err := producer.SendBatch(ctx, make([][]byte, 1000)); n > 10 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d, %v", n, err)
	}
	report, err := producer.Shutdown(ctx)
	want(t, "error", err, nil)
	want(t, "delivered", report.Delivered, 0)
	if report.Unsent < 6 {
		t.Errorf("%+v", report)
	}
	if err := producer.Send(within(t), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	producer.Close()
	if err := producer.Send(within(t), nil); err == nil {
		t.Error("after Close")
	}
}

func TestProducersWaitForASlowReceiver(t *testing.T) {
	path := socketPath(t)
	receiver := receive(t, path, hysock.MaxBytes(128<<10, 64<<10))
	const producers, each = 8, 5000
	var all sync.WaitGroup
	for id := range producers {
		producer := produce(t, path, hysock.MaxQueue(32<<10))
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range each {
				message := fmt.Appendf(nil, "%d:%d:", id, n)
				if err := producer.Send(within(t), append(message, make([]byte, 90)...)); err != nil {
					t.Error(err)
					return
				}
			}
			if report, err := producer.Shutdown(within(t)); err != nil || report.Delivered != each {
				t.Errorf("%+v, %v", report, err)
			}
		}()
	}
	var next [producers]int
	for range producers * each / 100 {
		if held := receiver.Stats().Held; held > 256<<10 {
			t.Fatalf("%d bytes are held", held)
		}
	}
	for left := producers * each; left > 0; {
		batch, err := receiver.Recv(within(t))
		if err != nil {
			t.Fatal(err)
		}
		left -= len(batch)
		for _, message := range batch {
			var id, n int
			fmt.Sscanf(string(message.Data), "%d:%d:", &id, &n)
			if n != next[id] {
				t.Fatalf("producer %d: %d instead of %d", id, n, next[id])
			}
			next[id]++
		}
	}
	all.Wait()
	want(t, "dropped", receiver.Stats().Dropped, 0)
}

func TestCloseWakesWhoReceives(t *testing.T) {
	receiver := receive(t, socketPath(t))
	ended := make(chan error, 4)
	for range cap(ended) {
		go func() {
			_, err := receiver.Recv(context.Background())
			ended <- err
		}()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := receiver.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing came: %v", err)
	}
	receiver.Close()
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Recv: %v", err)
		}
	}
	receiver.Close()
}

func TestReceiverErrors(t *testing.T) {
	path := socketPath(t)
	receive(t, path)
	_, err := hysock.NewReceiver(path)
	var busy *hysock.Error
	if !errors.As(err, &busy) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second receiver: %v", err)
	}
	if _, err := hysock.NewReceiver(socketPath(t), hysock.Fail); err == nil || !strings.Contains(err.Error(), "overflow") {
		t.Errorf("a policy of producers: %v", err)
	}
	if _, err := hysock.NewProducer(path, hysock.MaxMessage(0)); err == nil || !strings.Contains(err.Error(), "max_message") {
		t.Errorf("no message at all: %v", err)
	}
	listener, err := net.ListenPacket("unixgram", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := produce(t, listener.LocalAddr().String()).Send(within(t), []byte("x")); err == nil {
		t.Error("a stream to a datagram socket")
	}
}
