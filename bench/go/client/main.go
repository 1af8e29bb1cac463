// calls SOCKET N C: N times GET / with C in flight through Go's net/http; download SOCKET TARGET.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func get(client *http.Client) bool {
	answer, err := client.Get("http://localhost/")
	if err != nil {
		return false
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	return err == nil && answer.StatusCode == 200 && len(body) == 13
}

// One answer, read through a buffer of 256 KiB.
func download(client *http.Client, target string) {
	answer, err := client.Get("http://localhost" + target)
	if err != nil {
		panic(err)
	}
	var n int64
	for buffer := make([]byte, 256<<10); err == nil; {
		var got int
		got, err = answer.Body.Read(buffer)
		n += int64(got)
	}
	if err != io.EOF || answer.StatusCode != 200 || n != answer.ContentLength {
		panic(err)
	}
	fmt.Println(n, "bytes")
}

func main() {
	n, _ := strconv.ParseInt(os.Args[2], 10, 64)
	c := 1
	if len(os.Args) > 3 {
		c, _ = strconv.Atoi(os.Args[3])
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", os.Args[1])
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: c}}
	if os.Args[2][0] == '/' {
		download(client, os.Args[2])
		return
	}
	var left, errors atomic.Int64
	left.Store(n)
	var all sync.WaitGroup
	for i := 0; i < c; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for left.Add(-1) >= 0 {
				if !get(client) {
					errors.Add(1)
				}
			}
		}()
	}
	all.Wait()
	fmt.Printf("%d answers, %d errors\n", n-errors.Load(), errors.Load())
	if errors.Load() > 0 {
		os.Exit(1)
	}
}
