package hysock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hysock"
)

func TestRequestAndAnswer(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		w.Header().Set("X-Query", r.URL.Query().Get("q"))
		w.Header().Set("X-Host", r.Host)
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		w.Header().Set("X-Given", strings.Join(r.Header["X-Given"], "|"))
		if r.URL.Path == "/absent" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "<html>"+r.URL.Path)
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		request, _ := http.NewRequest("GET", "http://there/a%20b?q=1%2B1", nil)
		request.Header["X-Given"] = []string{"one", "two"}
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		want(t, "body", string(body), "<html>/a b")
		want(t, "status", response.StatusCode, 200)
		want(t, "X-Two", strings.Join(response.Header["X-Two"], "|"), "a|b")
		want(t, "X-Query", response.Header.Get("X-Query"), "1+1")
		want(t, "X-Host", response.Header.Get("X-Host"), "there")
		want(t, "X-Given", response.Header.Get("X-Given"), "one|two")
		want(t, "type", response.Header.Get("Content-Type"), "text/html; charset=utf-8")
		want(t, "length", response.ContentLength, 10)

		response, text := ask(t, c, "GET", "/absent", nil)
		want(t, "status", response.StatusCode, 404)
		want(t, "text", text, "404 page not found\n")
		response, text = ask(t, c, "HEAD", "/", nil)
		want(t, "method", response.Header.Get("X-Method"), "HEAD")
		want(t, "text of a HEAD", text, "")
		want(t, "length of a HEAD", response.ContentLength, 7)
		response, _ = ask(t, c, "POST", "/", strings.NewReader("12345"))
		want(t, "sent length", response.Header.Get("X-Length"), "5")
	})
}

func TestStatusWithoutBody(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
		if _, err := w.Write([]byte("x")); code != 200 && err != http.ErrBodyNotAllowed {
			t.Errorf("a body after %d: %v", code, err)
		}
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		for _, code := range []int{200, 204, 304} {
			response, _ := ask(t, c, "GET", fmt.Sprintf("/%d", code), nil)
			want(t, "status", response.StatusCode, code)
		}
	})
}

func TestErrorsAreGosOwn(t *testing.T) {
	path := socketPath(t)
	get := func() error {
		_, err := client(t, path).Get("http://localhost/")
		return err
	}
	if err := get(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("absent: %v", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	if _, err := hysock.Listen(path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("in use: %v", err)
	}
	listener.Close()
	if err := get(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	if _, err := hysock.Listen(filepath.Dir(path) + "/no/s"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := hysock.NewClient(""); err == nil {
		t.Error("an empty address was taken")
	}
	var failed *hysock.Error
	_, err = client(t, path).Post("https://localhost/", "", strings.NewReader(""))
	if !errors.As(err, &failed) || failed.Status >= 0 {
		t.Errorf("https: %v", err)
	}
	c, err := hysock.NewClient(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := c.HTTP().Get("http://localhost/"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// The end of a context ends the call, on both sides, before the answer and in the middle of it.
func TestContext(t *testing.T) {
	gone := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
			gone <- r.Context().Err()
		case <-time.After(deadline):
			gone <- errors.New("the handler was not told")
		}
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		for _, path := range []string{"/", "/half"} {
			ctx, cancel := context.WithCancelCause(context.Background())
			request, _ := http.NewRequestWithContext(ctx, "GET", "http://localhost"+path, nil)
			if path == "/" {
				time.AfterFunc(20*time.Millisecond, func() { cancel(nil) })
			}
			response, err := c.Do(request)
			if err == nil {
				cancel(nil)
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", path, err)
			}
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("%s, handler: %v", path, err)
			}
			cancel(nil)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		request, _ := http.NewRequestWithContext(ctx, "GET", "http://localhost/", nil)
		if _, err := c.Do(request); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("deadline: %v", err)
		}
		<-gone
	})
}

func TestPeerCredentials(t *testing.T) {
	path := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := hysock.PeerFromContext(r.Context())
		fmt.Fprint(w, peer.UID, peer.GID, peer.PID, ok)
	}))
	_, text := ask(t, clientStd(t, path), "GET", "/", nil)
	want(t, "peer", text, fmt.Sprint(os.Getuid(), os.Getgid(), os.Getpid(), true))
	if _, ok := hysock.PeerFromContext(context.Background()); ok {
		t.Error("a peer out of nothing")
	}
}

func TestListenOptions(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	path := serve(t, hello, hysock.Mode(0o660), hysock.AllowSelf(), hysock.Backlog(5))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "mode", info.Mode().Perm(), 0o660)
	_, text := ask(t, clientStd(t, path), "GET", "/", nil)
	want(t, "text", text, "hello")
	path = serve(t, hello, hysock.AllowUID(uint32(os.Getuid()+1)))
	response, _ := ask(t, clientStd(t, path), "GET", "/", nil)
	want(t, "status", response.StatusCode, 403)
	if _, err := hysock.Listen(socketPath(t), hysock.Owner("no such user")); err == nil {
		t.Error("an owner who does not exist was taken")
	}
}

// Another program gets none of the library's descriptors, also while they are in use.
func TestExec(t *testing.T) {
	path := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What ls opens itself is one more.
		names, err := exec.Command("ls", "/proc/self/fd").Output()
		fmt.Fprint(w, strings.Fields(string(names)), err)
	}))
	_, text := ask(t, client(t, path), "GET", "/", nil)
	want(t, "descriptors", text, "[0 1 2 3] <nil>")
}

// A panicking handler is a 500, and the server lives.
func TestPanic(t *testing.T) {
	path := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
	}))
	c := clientStd(t, path)
	response, _ := ask(t, c, "GET", "/panic", nil)
	want(t, "status", response.StatusCode, 500)
	response, _ = ask(t, c, "GET", "/", nil)
	want(t, "status", response.StatusCode, 200)
}

// What was taken is answered, what comes later is not, and everything may be closed again.
func TestShutdown(t *testing.T) {
	path := socketPath(t)
	server, err := hysock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-release
			io.WriteString(w, "late")
		}))
	}()
	var answered sync.WaitGroup
	answered.Add(1)
	go func() {
		defer answered.Done()
		_, text := ask(t, clientStd(t, path), "GET", "/", nil)
		want(t, "text", text, "late")
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown while a handler runs: %v", err)
	}
	if _, err := client(t, path).Get("http://localhost/"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the shutdown: %v", err)
	}
	close(release)
	answered.Wait()
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
	for range 2 {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := server.Serve(nil); err != http.ErrServerClosed {
		t.Error(err)
	}
}

// Close beside a Read that waits ends it.
func TestCloseBesideRead(t *testing.T) {
	both(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}), func(t *testing.T, c *http.Client) {
		response, err := c.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := response.Body.Read(make([]byte, 1))
			ended <- err
		}()
		time.AfterFunc(20*time.Millisecond, func() { response.Body.Close() })
		select {
		case err := <-ended:
			if err == nil {
				t.Error("Read gave a byte")
			}
		case <-time.After(deadline):
			t.Error("Read goes on")
		}
		response.Body.Close()
	})
}

// Bytes may be a part of anything: of something with pointers too.
func TestBytesInsideOfOtherThings(t *testing.T) {
	type holder struct {
		next  *holder
		bytes [8192]byte
	}
	h := &holder{next: new(holder)}
	both(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := &holder{next: new(holder)}
		io.Copy(io.Discard, r.Body)
		w.Write(h.bytes[:1])
		w.Write(h.bytes[:])
	}), func(t *testing.T, c *http.Client) {
		_, text := ask(t, c, "POST", "/", writerTo(h.bytes[:]))
		want(t, "length", len(text), 8193)
	})
}

// writerTo writes its bytes as they lie.
type writerTo []byte

func (b writerTo) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

func (b writerTo) Read(p []byte) (int, error) { return copy(p, b), io.EOF }

// Close beside calls that wait for their answers, and bodies that are read, ends them.
func TestCloseBesideCalls(t *testing.T) {
	arrived := make(chan struct{}, 20)
	path := serveStd(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	c, err := hysock.NewClient(path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 20)
	for i := range 20 {
		go func() {
			response, err := c.HTTP().Get("http://localhost/" + []string{"", "body"}[i%2])
			if err == nil {
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			ended <- err
		}()
	}
	for range 20 {
		<-arrived
	}
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for range 20 {
		if err := <-ended; err == nil {
			t.Error("a call without an answer has no error")
		}
	}
	if took := time.Since(began); took > deadline/4 {
		t.Errorf("it took %v", took)
	}
}
