package hysock_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
