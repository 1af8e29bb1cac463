package hysock_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

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
