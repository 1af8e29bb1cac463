"""A client beside others, in a process of its own: `steady_client.py SOCKET`.

It asks for `/` over and over on one connection, 2 ms after each answer. When its standard input ends it
prints a line for each request: when it began (time.monotonic) and how long it took, in seconds."""

import contextlib
import os
import select
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PAUSE = 0.002


def main(path):
    with contextlib.suppress(PermissionError):
        os.nice(-15)  # before what else the machine does
    samples = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        while not select.select([sys.stdin], [], [], PAUSE)[0]:
            began = time.monotonic()
            connection.sendall(REQUEST)
            answer = connection.recv(4096)  # one piece: it is small
            samples.append((began, time.monotonic() - began))
            if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"Hello, world!"):
                sys.exit(f"not the answer: {answer!r}")
    for began, took in samples:
        print(began, took)


if __name__ == "__main__":
    main(sys.argv[1])
