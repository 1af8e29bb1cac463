package hysock

// #include "glue.h"
import "C"

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// An Error is what the library refused or could not do. Its text names the path and what to do.
//
// errors.Is knows what it means: os.ErrNotExist when there is no socket, syscall.ECONNREFUSED when nobody
// listens, os.ErrPermission, syscall.EADDRINUSE when a living server has the path, context.DeadlineExceeded,
// context.Canceled, io.ErrUnexpectedEOF for a body that stops early, net.ErrClosed for what has ended.
type Error struct {
	// Status is one of HYSOCK_E_*, which are negative.
	Status int
	// Errno is the system's, 0 when it has no part in it.
	Errno   syscall.Errno
	Message string
}

func (e *Error) Error() string { return "hysock: " + e.Message }

// Unwrap gives the system's error, if there is one.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Timeout says whether time ran out; it makes an Error a net.Error.
func (e *Error) Timeout() bool { return e.Status == C.HYSOCK_E_TIMED_OUT }

// Temporary is part of net.Error.
func (e *Error) Temporary() bool { return e.Timeout() || e.Status == C.HYSOCK_E_BUSY }

var meanings = map[int][]error{
	C.HYSOCK_E_ABSENT:     {os.ErrNotExist, syscall.ENOENT},
	C.HYSOCK_E_REFUSED:    {syscall.ECONNREFUSED},
	C.HYSOCK_E_BUSY:       {syscall.EAGAIN},
	C.HYSOCK_E_FORBIDDEN:  {os.ErrPermission, syscall.EACCES},
	C.HYSOCK_E_WRONG_TYPE: {syscall.EPROTOTYPE},
	C.HYSOCK_E_IN_USE:     {syscall.EADDRINUSE},
	C.HYSOCK_E_TIMED_OUT:  {context.DeadlineExceeded, os.ErrDeadlineExceeded},
	C.HYSOCK_E_CANCELLED:  {context.Canceled},
	C.HYSOCK_E_CLOSED:     {net.ErrClosed},
	C.HYSOCK_E_SHUT_DOWN:  {net.ErrClosed},
	C.HYSOCK_E_TRUNCATED:  {io.ErrUnexpectedEOF},
}

// Is tells errors.Is what the status means.
func (e *Error) Is(target error) bool {
	for _, meaning := range meanings[e.Status] {
		if target == meaning {
			return true
		}
	}
	return false
}

var errClosed = &Error{Status: C.HYSOCK_E_SHUT_DOWN, Message: "it was closed"}

func failure(status C.hysock_status, err *C.hysock_error) error {
	if status == C.HYSOCK_OK {
		return nil
	}
	if err == nil || err.status != status {
		return &Error{Status: int(status), Message: C.GoString(C.hysock_status_message(C.int32_t(status)))}
	}
	return &Error{
		Status:  int(status),
		Errno:   syscall.Errno(err.os_error),
		Message: C.GoString(&err.message[0]),
	}
}

// isStatus says whether err is of that status.
func isStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}
