// Package hysock is HTTP/1.1 and messages over Unix domain sockets through libhysock: a [Client] that is an
// http.RoundTripper, a [Server] that serves an http.Handler, a [Receiver] of the messages of many programs, and
// a [Producer] of them.
//
//	server, err := hysock.Listen("/run/app/control.sock", hysock.Mode(0o660))
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer server.Close()
//	log.Fatal(server.Serve(mux))
//
// What it has beyond net/http on a Unix listener: socket files that are born with the right mode and
// replaced when they are dead, rules for who may connect ([AllowUID], [AllowGID], [AllowSelf]), the peer's
// uid and pid in the request's context ([PeerFromContext]), limits per user, a client that waits where the
// backlog is full, and errors that name the path and say what to do. Where none of this is needed, pure
// net/http with a net.Listener is enough, and needs no cgo.
//
// # Threads
//
// The library has a few threads of its own, which never run Go code. One goroutine takes their events in
// batches and sleeps in Go's own poller meanwhile. A goroutine that waits for a request, an answer or a
// piece of a body is not blocked in C, so it costs no thread.
//
// [Producer.Send] with a full queue, Flush and Shutdown do wait in C, each on a thread for the time.
//
// All clients, servers, receivers and producers of a process share these; they end with the last one that is
// closed. A process must not fork without exec, as always in Go.
//
// # Building
//
// cgo finds the library by pkg-config. With the build tag hysock_static the program contains it.
//
// # Differences to net/http
//
// Informational answers of a handler (1xx) are not sent; 100 Continue is sent by itself when the body is
// read. Trailers are sent to clients that ask for them (TE: trailers). [http.Hijacker] is for requests that
// ask for another protocol by Upgrade; the handler's first bytes must be its 101. Deadlines are those of
// the [ListenOption]s, not of http.ResponseController.
package hysock
