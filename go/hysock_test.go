package hysock_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

const deadline = 20 * time.Second

// socketPath is in a folder of its own, short enough for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "hy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "s")
}

// serve runs a handler on our server until the test has ended.
func serve(t testing.TB, handler http.Handler, options ...hysock.ListenOption) string {
	t.Helper()
	path := socketPath(t)
	server, err := hysock.Listen(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(handler) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return path
}

// serveStd runs a handler on net/http.
func serveStd(t testing.TB, handler http.Handler) string {
	t.Helper()
	path := socketPath(t)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return path
}

func client(t testing.TB, path string, options ...hysock.ClientOption) *http.Client {
	t.Helper()
	c, err := hysock.NewClient(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
	return c.HTTP()
}

func clientStd(t testing.TB, path string) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 64,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// both runs a test in both directions: our server with net/http's client, our client with net/http's
// server, and ours with ours.
func both(t *testing.T, handler http.Handler, test func(t *testing.T, c *http.Client)) {
	t.Run("server", func(t *testing.T) { test(t, clientStd(t, serve(t, handler))) })
	t.Run("client", func(t *testing.T) { test(t, client(t, serveStd(t, handler))) })
	t.Run("ours", func(t *testing.T) { test(t, client(t, serve(t, handler))) })
}

func ask(t testing.TB, c *http.Client, method, target string, body io.Reader) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func want[T comparable](t testing.TB, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s is %v, not %v", what, got, wanted)
	}
}

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

// A body goes up and comes back down, and neither side holds all of it.
func TestLargeBodies(t *testing.T) {
	const size = 4 << 20
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Hash", fmt.Sprintf("%d %x", n, hash.Sum(nil)))
		piece := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		for sent := 0; sent < size; sent += len(piece) {
			if _, err := w.Write(piece); err != nil {
				t.Error(err)
				return
			}
		}
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		body := bytes.Repeat([]byte("fedcba9876543210"), size/16)
		// A reader of unknown length is sent in chunks.
		for _, reader := range []io.Reader{bytes.NewReader(body), io.MultiReader(bytes.NewReader(body))} {
			response, text := ask(t, c, "POST", "/", reader)
			want(t, "hash", response.Header.Get("X-Hash"), fmt.Sprintf("%d %x", size, sha256.Sum256(body)))
			want(t, "size", len(text), size)
		}
	})
}

func TestTrailers(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-After")
		w.WriteHeader(200)
		io.WriteString(w, "body")
		w.Header().Set("X-After", "all of it")
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		request, _ := http.NewRequest("GET", "http://localhost/", nil)
		request.Header.Set("TE", "trailers")
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, announced := response.Trailer["X-After"]; !announced {
			t.Errorf("X-After was not announced: %v", response.Trailer)
		}
		if text, err := io.ReadAll(response.Body); string(text) != "body" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		want(t, "trailer", response.Trailer.Get("X-After"), "all of it")
	})
}

// Pieces come out when they are flushed, while the handler waits for the reader to have got them.
func TestFlush(t *testing.T) {
	next := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "piece %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-next:
			case <-time.After(deadline):
				t.Error("the piece did not arrive")
			}
		}
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		response, err := c.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		for i := range 3 {
			line := make([]byte, 8)
			if _, err := io.ReadFull(response.Body, line); err != nil {
				t.Fatal(err)
			}
			want(t, "line", string(line), fmt.Sprintf("piece %d\n", i))
			next <- struct{}{}
		}
		if rest, err := io.ReadAll(response.Body); len(rest) != 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
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

// A body that stops early is no whole body.
func TestTruncatedBody(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	both(t, handler, func(t *testing.T, c *http.Client) {
		response, err := c.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(text) != "half" {
			t.Errorf("%q, %v", text, err)
		}
	})
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
