//go:build hysock_static

package hysock

// The archive comes first; nothing is left to be looked up in the shared library behind it.

// #cgo LDFLAGS: -l:libhysock.a -Wl,--as-needed -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"
