// calls SOCKET N C: N times GET / with C in flight through Go's net/http.
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

func main() {
	n, _ := strconv.ParseInt(os.Args[2], 10, 64)
	c, _ := strconv.Atoi(os.Args[3])
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", os.Args[1])
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: c}}
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
