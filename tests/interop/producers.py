"""Receivers and producers as children, and what the suites of the message half ask of them."""

import fcntl
import os
import re
import shutil
import socket
import struct
import tempfile
import termios
from pathlib import Path

import pytest
from conftest import DEADLINE, ROOT, example, run, tool, wait_until

SUMMARY = re.compile(r"received (\d+) messages, (\d+) bytes, (\d+) producers, (\d+) dropped")
REPORT = re.compile(r"(\d+) delivered, (\d+) in doubt, (\d+) unsent, (\d+) dropped")


@pytest.fixture
def receive(daemon, sockdir):
    """`receive(*options)`: a running receiver at sockdir/r."""

    def start(*options, path=None, **more):
        path = path or sockdir / "r"
        return daemon(example("receiver"), path, *options, ready="listening on", **more)

    return start


@pytest.fixture(scope="module")
def flood():
    """The path of flood.c's program, made against the library in the tree."""
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    source, out = ROOT / "tests" / "interop" / "flood.c", folder / "flood"
    options = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]
    options += [f"-I{ROOT}/include", f"-L{ROOT}/build", f"-Wl,-rpath,{ROOT}/build"]
    done = run(tool("cc"), *options, source, "-o", out, "-lhysock", "-pthread", timeout=60)
    assert done.returncode == 0, done.stderr
    yield out
    shutil.rmtree(folder)


def summary(receiver):
    """Ends the receiver; (messages, bytes, producers, dropped)."""
    receiver.stop()
    return tuple(map(int, SUMMARY.search(receiver.output).groups()))


def report(text):
    """(delivered, in doubt, unsent, dropped) of a producer's last line."""
    return tuple(map(int, REPORT.search(text).groups()))


def lines(receiver, count):
    """The first `count` messages, as printed."""
    wait_until(lambda: len(receiver.lines) > count, what=f"{count} lines")
    return receiver.lines[1 : count + 1]


def produce(path, *options, **more):
    done = run(example("producer"), path, *options, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return report(done.stdout)


def stream(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE)
    sock.connect(str(path))
    return sock


def listen(path, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.settimeout(DEADLINE)
    sock.bind(str(path))
    if kind != socket.SOCK_DGRAM:
        sock.listen(16)
    return sock


def frame(payload, order=">"):
    return struct.pack(order + "I", len(payload)) + payload


def outq(sock):
    """Bytes that the other side has not read."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def cpu(pid):
    """Seconds of CPU time so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
