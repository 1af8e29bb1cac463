package hysock_test

import (
	"bufio"
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hysock"
)

// Go's reverse proxy on our client, behind our server, in front of net/http.
func TestReverseProxy(t *testing.T) {
	behind := serveStd(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Trailer", "X-After")
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL, len(body))
		w.(http.Flusher).Flush()
		w.Header().Set("X-After", "after")
	}))
	c, err := hysock.NewClient(behind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "behind"})
	proxy.Transport = c
	path := serve(t, proxy)
	for _, front := range []*http.Client{clientStd(t, path), client(t, path)} {
		request, _ := http.NewRequest("POST", "http://localhost/a?b=c", strings.NewReader(strings.Repeat("x", 100000)))
		request.Header.Set("TE", "trailers")
		response, err := front.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		want(t, "text", string(text), "POST /a?b=c 100000")
		want(t, "trailer", response.Trailer.Get("X-After"), "after")
	}
}

// A dead upstream is a 502 with the library's words.
func TestReverseProxyWithoutUpstream(t *testing.T) {
	absent, err := hysock.NewClient(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { absent.Close() })
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "behind"})
	proxy.Transport = absent
	proxy.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, err.Error(), 502) }
	response, text := ask(t, clientStd(t, serve(t, proxy)), "GET", "/", nil)
	want(t, "status", response.StatusCode, 502)
	if !strings.Contains(text, "no socket at") {
		t.Error(text)
	}
}

// echoUpgrade answers 101 by hand, as handlers for net/http do, and echoes lines.
func echoUpgrade(w http.ResponseWriter, r *http.Request) {
	conn, stream, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer conn.Close()
	io.WriteString(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Key: k\r\n\r\nhello\n")
	stream.Flush()
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			return
		}
		io.WriteString(stream, line)
		stream.Flush()
	}
}

func TestUpgrade(t *testing.T) {
	both(t, http.HandlerFunc(echoUpgrade), checkUpgrade)
}

// The same through Go's reverse proxy, which needs both sides of it.
func TestUpgradeThroughReverseProxy(t *testing.T) {
	c, err := hysock.NewClient(serve(t, http.HandlerFunc(echoUpgrade)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "behind"})
	proxy.Transport = c
	both(t, proxy, checkUpgrade)
}

func checkUpgrade(t *testing.T, c *http.Client) {
	request, _ := http.NewRequest("GET", "http://localhost/", nil)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "echo")
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "status", response.StatusCode, 101)
	want(t, "X-Key", response.Header.Get("X-Key"), "k")
	conn := response.Body.(io.ReadWriteCloser)
	defer conn.Close()
	lines := bufio.NewReader(conn)
	next := func(wanted string) {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		want(t, "line", line, wanted)
	}
	next("hello\n")
	for i := range 3 {
		fmt.Fprintf(conn, "line %d\n", i)
		next(fmt.Sprintf("line %d\n", i))
	}
	// One that asks for nothing is not hijacked by our server; net/http gives its connection away.
	if response, err := c.Get("http://localhost/"); err == nil {
		response.Body.Close()
	}
}

func TestFileServer(t *testing.T) {
	folder := t.TempDir()
	text := strings.Repeat("0123456789", 100000)
	if err := os.WriteFile(filepath.Join(folder, "file.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	both(t, http.FileServer(http.Dir(folder)), func(t *testing.T, c *http.Client) {
		response, got := ask(t, c, "GET", "/file.txt", nil)
		want(t, "length", response.ContentLength, 1000000)
		want(t, "same", got == text, true)
		request, _ := http.NewRequest("GET", "http://localhost/file.txt", nil)
		request.Header.Set("Range", "bytes=5-14")
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		part, _ := io.ReadAll(response.Body)
		response.Body.Close()
		want(t, "status", response.StatusCode, 206)
		want(t, "part", string(part), "5678901234")
		request.Header.Del("Range")
		request.Header.Set("If-Modified-Since", response.Header.Get("Last-Modified"))
		response, err = c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		want(t, "status", response.StatusCode, 304)
		response, list := ask(t, c, "GET", "/", nil)
		want(t, "status", response.StatusCode, 200)
		want(t, "listed", strings.Contains(list, "file.txt"), true)
	})
}

func TestExpvarAndPprof(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/debug/vars", expvar.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	both(t, mux, func(t *testing.T, c *http.Client) {
		_, text := ask(t, c, "GET", "/debug/vars", nil)
		var vars map[string]any
		if err := json.Unmarshal([]byte(text), &vars); err != nil || vars["memstats"] == nil {
			t.Error(err, text)
		}
		_, text = ask(t, c, "GET", "/debug/pprof/goroutine?debug=1", nil)
		want(t, "profile", strings.HasPrefix(text, "goroutine profile: total"), true)
		response, _ := ask(t, c, "GET", "/debug/pprof/heap", nil)
		want(t, "type", response.Header.Get("Content-Type"), "application/octet-stream")
	})
}

// A server that answers while the request still comes, and closes.
func TestEarlyAnswer(t *testing.T) {
	both(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	}), func(t *testing.T, c *http.Client) {
		slow := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), &pause{time.Now().Add(200 * time.Millisecond)})
		response, text := ask(t, c, "POST", "/", slow)
		want(t, "status", response.StatusCode, 413)
		want(t, "text", text, "too much\n")
	})
}

type pause struct{ until time.Time }

func (p *pause) Read([]byte) (int, error) {
	time.Sleep(time.Until(p.until))
	return 0, io.EOF
}

// The address forms are the library's: an abstract socket here.
func TestAbstractSocket(t *testing.T) {
	name := fmt.Sprintf("@hysock-go-%d", os.Getpid())
	server, err := hysock.Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "abstract") }))
	defer server.Close()
	_, text := ask(t, client(t, "unix://"+name), "GET", "/", nil)
	want(t, "text", text, "abstract")
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", name)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
