"""sandbox.py ALLOWED PROGRAM...: what a systemd unit with SystemCallFilter=, RestrictAddressFamilies=AF_UNIX
and MemoryDenyWriteExecute=yes does to a program, without systemd. ALLOWED is a file of system call
numbers; `socket`, `mmap` and `mprotect` are there by name, each with its number.

Another call kills the process (SIGSYS), another address family is EAFNOSUPPORT, memory that is writable
and executable EPERM.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

LOAD, EQUAL, ANY, AND, RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
WRITE, EXEC = 2, 4


def step(code, value, yes=0, no=0):
    return struct.pack("=HBBI", code, yes, no, value & 0xFFFFFFFF)


def argument(index):
    return step(LOAD, ARGUMENTS + 8 * index)


def only_when(number, check):
    """`check` decides about the call of that number; it ends in a return."""
    body = b"".join(check)
    skip = len(body) // 8
    return step(LOAD, NUMBER) + step(EQUAL, number, 0, skip) + body


def program(numbers, named):
    unless_both = [
        argument(2),
        step(AND, WRITE | EXEC),
        step(EQUAL, WRITE | EXEC, 0, 1),
        step(RETURN, ERROR | errno.EPERM),
        step(RETURN, ALLOW),
    ]
    unless_exec = [
        argument(2),
        step(ANY, EXEC, 0, 1),
        step(RETURN, ERROR | errno.EPERM),
        step(RETURN, ALLOW),
    ]
    unix_only = [
        argument(0),
        step(EQUAL, socket.AF_UNIX, 1, 0),
        step(RETURN, ERROR | errno.EAFNOSUPPORT),
        step(RETURN, ALLOW),
    ]
    steps = step(LOAD, ARCHITECTURE) + step(EQUAL, ARCHITECTURES[platform.machine()], 1, 0)
    steps += step(RETURN, KILL)
    steps += only_when(named["mmap"], unless_both)
    steps += only_when(named["mprotect"], unless_exec)
    steps += only_when(named["socket"], unix_only)
    steps += step(LOAD, NUMBER)
    for number in numbers:
        steps += step(EQUAL, number, 0, 1) + step(RETURN, ALLOW)
    return steps + step(RETURN, KILL)


def main():
    numbers, named = set(), {}
    with open(sys.argv[1], encoding="ascii") as file:
        for line in file:
            *name, number = line.split()
            numbers.add(int(number))
            named.update({one: int(number) for one in name})
    steps = program(sorted(numbers), named)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(steps, len(steps))
    fprog = struct.pack("@HxxxxxxQ", len(steps) // 8, ctypes.addressof(buffer))
    for arguments in [(PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog)]:
        if libc.prctl(*arguments, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl{arguments[:2]}")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
