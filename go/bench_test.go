package hysock_test

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
)

// Each way to combine our client and server with net/http's, 64 requests at once. Besides the time, the
// CPU time of the process: both sides are in it.
func BenchmarkSmallRequest(b *testing.B) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello, world!") })
	servers := map[string]func(testing.TB, http.Handler) string{
		"net/http": serveStd,
		"hysock":   func(t testing.TB, h http.Handler) string { return serve(t, h) },
	}
	clients := map[string]func(testing.TB, string) *http.Client{
		"net/http": clientStd,
		"hysock":   func(t testing.TB, path string) *http.Client { return client(t, path) },
	}
	for _, s := range []string{"net/http", "hysock"} {
		for _, c := range []string{"net/http", "hysock"} {
			b.Run(fmt.Sprintf("server=%s/client=%s", s, c), func(b *testing.B) {
				caller := clients[c](b, servers[s](b, hello))
				b.SetParallelism(32)
				b.ReportAllocs()
				began := cpu()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						response, err := caller.Get("http://localhost/")
						if err != nil {
							b.Error(err)
							return
						}
						io.Copy(io.Discard, response.Body)
						response.Body.Close()
					}
				})
				b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}
