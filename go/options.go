package hysock

// #include "glue.h"
import "C"

import (
	"os"
	"time"
	"unsafe"
)

// A ListenOption changes how Listen makes a socket and the server behind it.
type ListenOption interface {
	server(*C.hysock_server_config, *C.hysock_listener_config)
}

// A SocketOption is about the socket alone, whatever is behind it: it is a [ListenOption] and a
// [ReceiverOption].
type SocketOption func(*C.hysock_listener_config)

func (o SocketOption) server(_ *C.hysock_server_config, c *C.hysock_listener_config)     { o(c) }
func (o SocketOption) receiver(_ *C.hysock_receiver_config, c *C.hysock_listener_config) { o(c) }

type serverOption func(*C.hysock_server_config)

func (o serverOption) server(c *C.hysock_server_config, _ *C.hysock_listener_config) { o(c) }

// Mode is the permissions of the socket file, which is born with them; 0600 if it is not given.
func Mode(mode os.FileMode) SocketOption {
	return func(c *C.hysock_listener_config) { C.hysock_listener_config_set_mode(c, C.uint32_t(mode.Perm())) }
}

// Owner is the user that the socket file belongs to, by name or number.
func Owner(user string) SocketOption {
	return func(c *C.hysock_listener_config) {
		text := C.CString(user)
		defer C.free(unsafe.Pointer(text))
		C.hysock_listener_config_set_owner(c, text)
	}
}

// Group is the group that the socket file belongs to, by name or number.
func Group(group string) SocketOption {
	return func(c *C.hysock_listener_config) {
		text := C.CString(group)
		defer C.free(unsafe.Pointer(text))
		C.hysock_listener_config_set_group(c, text)
	}
}

// Backlog is how many connections may wait to be accepted.
func Backlog(n uint32) SocketOption {
	return func(c *C.hysock_listener_config) { C.hysock_listener_config_set_backlog(c, C.uint32_t(n)) }
}

// AllowUID lets in only this user, and those whom another rule names: everybody else gets a 403.
func AllowUID(uid uint32) SocketOption {
	return func(c *C.hysock_listener_config) {
		C.hysock_listener_config_allow(c, C.HYSOCK_ALLOW_UID, C.uint32_t(uid))
	}
}

// AllowGID lets in only members of this group, and those whom another rule names.
func AllowGID(gid uint32) SocketOption {
	return func(c *C.hysock_listener_config) {
		C.hysock_listener_config_allow(c, C.HYSOCK_ALLOW_GID, C.uint32_t(gid))
	}
}

// AllowSelf lets in only the user that this process runs as, and those whom another rule names.
func AllowSelf() SocketOption {
	return func(c *C.hysock_listener_config) { C.hysock_listener_config_allow(c, C.HYSOCK_ALLOW_SELF, 0) }
}

// HandlerTimeout ends a request with a 503 whose handler takes longer; its context is cancelled.
func HandlerTimeout(d time.Duration) ListenOption {
	return serverOption(func(c *C.hysock_server_config) { C.hysock_server_config_set_handler_timeout(c, milliseconds(d)) })
}

// IdleTimeout is how long a connection is kept between two requests; 75 s if it is not given.
func IdleTimeout(d time.Duration) ListenOption {
	return serverOption(func(c *C.hysock_server_config) { C.hysock_server_config_set_idle_timeout(c, milliseconds(d)) })
}

// ConnectionLimit is how many connections there may be in all and from one user: 4,096 and 1,024 if it is
// not given. Beyond it a client gets a 503.
func ConnectionLimit(all, perUser uint64) ListenOption {
	return serverOption(func(c *C.hysock_server_config) {
		C.hysock_server_config_set_max_connections(c, C.uint64_t(all))
		C.hysock_server_config_set_max_connections_per_uid(c, C.uint64_t(perUser))
	})
}
