package hysock_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"hysock"
)

// A control API on a socket that only its own user may open, and a call of it.
func Example() {
	folder, err := os.MkdirTemp("", "hysock")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "control.sock")

	server, err := hysock.Listen(path, hysock.Mode(0o600))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		peer, _ := hysock.PeerFromContext(r.Context())
		fmt.Fprintf(w, "hello %s, you are me: %t\n", r.PathValue("name"), int(peer.PID) == os.Getpid())
	})
	go server.Serve(mux)

	client, err := hysock.NewClient(path)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	response, err := client.HTTP().Get("http://localhost/hello/gopher")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
	// Output: hello gopher, you are me: true
}

// Errors are those of Go's own packages.
func ExampleError() {
	client, err := hysock.NewClient("/run/nobody-is-here.sock")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.HTTP().Get("http://localhost/")
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output: true
}

// Lines of many programs in one place; any of them may as well be `nc -U`.
func ExampleReceiver() {
	folder, err := os.MkdirTemp("", "hysock")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "lines.sock")

	receiver, err := hysock.NewReceiver(path, hysock.Delimiter('\n'), hysock.Mode(0o600))
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()
	producer, err := hysock.NewProducer(path, hysock.Delimiter('\n'))
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()
	log.New(producer, "worker: ", 0).Print("started")

	for batch := range receiver.Batches() {
		for _, message := range batch {
			fmt.Printf("%s (it is me: %t)\n", message.Data, int(message.Peer.PID) == os.Getpid())
		}
		break
	}
	// Output: worker: started (it is me: true)
}
