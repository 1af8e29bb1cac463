// Go's net/http on the socket os.Args[1]: what test_foreign_matrix.py asks of every server.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/hello":
		w.Header().Set("Content-Length", "13")
		io.WriteString(w, "Hello, world!")
	case "/chunked":
		for n := range 1000 {
			fmt.Fprintf(w, "%d\n", n)
			w.(http.Flusher).Flush()
		}
	case "/echo", "/echo-chunked":
		// Reading goes on while the answer is written.
		http.NewResponseController(w).EnableFullDuplex()
		if r.URL.Path == "/echo" && r.ContentLength >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
		}
		io.Copy(w, r.Body)
	case "/204", "/304":
		status, _ := strconv.Atoi(r.URL.Path[1:])
		w.WriteHeader(status)
	case "/early":
		w.WriteHeader(102)
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		io.WriteString(w, "late")
	default:
		http.NotFound(w, r)
	}
}

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go http.Serve(listener, http.HandlerFunc(answer))
	<-end
}
