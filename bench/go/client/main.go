// calls SOCKET N C [latency]: N times GET / with C in flight through Go's net/http; with C 1 also how long
// each took. download SOCKET TARGET.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
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
	timed := len(os.Args) > 4
	var laps []time.Duration
	var left, errors atomic.Int64
	left.Store(n)
	var all sync.WaitGroup
	for i := 0; i < c; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for left.Add(-1) >= 0 {
				begin := time.Now()
				if !get(client) {
					errors.Add(1)
				}
				if timed {
					laps = append(laps, time.Since(begin))
				}
			}
		}()
	}
	all.Wait()
	if timed {
		slices.Sort(laps)
		us := func(part int) float64 { return float64(laps[len(laps)*part/1000].Nanoseconds()) / 1e3 }
		fmt.Printf("latency %.2f %.2f %.2f\n", us(500), us(990), us(999))
	}
	fmt.Printf("%d answers, %d errors\n", n-errors.Load(), errors.Load())
	if errors.Load() > 0 {
		os.Exit(1)
	}
}
