// server SOCKET [FILE]: Go's net/http; /file answers with the file.
package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func hello(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/file" && len(os.Args) > 2 {
		http.ServeFile(w, r, os.Args[2])
		return
	}
	if ms, ok := strings.CutPrefix(r.URL.Path, "/slow/"); ok {
		n, _ := strconv.Atoi(ms)
		time.Sleep(time.Duration(n) * time.Millisecond)
	}
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/plain")
	w.Write([]byte("Hello, world!"))
}

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	panic(http.Serve(listener, http.HandlerFunc(hello)))
}
