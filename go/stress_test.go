package hysock_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hysock"
)

// 1,100 requests at once, while garbage is collected and signals come all the time: not one goes wrong,
// and no thread is held for each of them.
func TestStorm(t *testing.T) {
	const atOnce, rounds = 1100, 2
	var in atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	path := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			if in.Add(1) == atOnce {
				once.Do(func() { close(full) })
			}
			<-full
		}
		fmt.Fprint(w, r.URL.Path, r.Header.Get("X-Number"))
	}), hysock.ConnectionLimit(2*atOnce, 2*atOnce))
	stop := make(chan struct{})
	var storm sync.WaitGroup
	storm.Add(2)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	go func() {
		defer storm.Done()
		defer debug.SetGCPercent(debug.SetGCPercent(5))
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	go func() {
		defer storm.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			}
		}
	}()
	c := client(t, path, hysock.MaxConnections(atOnce))
	var bad atomic.Int64
	var all sync.WaitGroup
	for i := range atOnce {
		all.Add(1)
		go func() {
			defer all.Done()
			for round := range rounds {
				target := "/go"
				if round == 0 {
					target = "/wait"
				}
				if err := storming(c, target, fmt.Sprint(i)); err != nil && bad.Add(1) < 5 {
					t.Error(err)
				}
			}
		}()
	}
	select {
	case <-full:
	case <-time.After(2 * deadline):
		t.Fatalf("only %d requests came", in.Load())
	}
	// A goroutine that is blocked in C has a thread; those who wait here have none.
	if threads := threadCount(t); threads > 100 {
		t.Errorf("%d threads for %d requests", threads, atOnce)
	}
	all.Wait()
	close(stop)
	storm.Wait()
	want(t, "bad answers", bad.Load(), 0)
}

func storming(c *http.Client, target, number string) error {
	request, err := http.NewRequest("GET", "http://localhost"+target, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Number", number)
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && string(text) != target+number {
		err = fmt.Errorf("%q for %s%s", text, target, number)
	}
	return err
}

func threadCount(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "Threads:")
	var n int
	fmt.Sscan(rest, &n)
	return n
}
