"""Servers of served.c, and clients that ask them all the time, for the suites about sockets."""

import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from conftest import DEADLINE, ROOT, run, tool, wait_until
from peers import UnixConnection


@pytest.fixture(scope="module")
def program():
    """served, compiled against the library in the tree, both where every user finds them."""
    folder = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    folder.chmod(0o755)
    for library in (ROOT / "build").glob("libhysock.so*"):
        shutil.copy(library, folder, follow_symlinks=False)
    source, out = ROOT / "tests" / "interop" / "served.c", folder / "served"
    options = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]
    options += [f"-I{ROOT}/include", f"-L{folder}", "-Wl,-rpath,$ORIGIN"]
    done = run(tool("cc"), *options, source, "-o", out, "-lhysock", "-pthread", timeout=60)
    assert done.returncode == 0, done.stderr
    yield out
    shutil.rmtree(folder)


@pytest.fixture
def served(program, daemon):
    """`served(path, *options)`: a running server."""

    def start(path, *options, **more):
        return daemon(program, path, *options, ready="serves", **more)

    return start


def ask(path, greeting=""):
    """One request over a connection of its own: the pid of the server, after its greeting."""
    client = UnixConnection(path)
    try:
        client.request("GET", "/")
        return pid_in(client.getresponse(), greeting)
    finally:
        client.close()


def pid_in(answer, greeting=""):
    assert answer.status == 200
    text = answer.read().decode()
    assert text.startswith(greeting)
    return int(text.removeprefix(greeting))


def listener(path, backlog=16):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(backlog)
    return sock


def refused(program, path, *options, **more):
    """Its one line about why it does not start."""
    done = run(program, path, *options, **more)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


class Load:
    """Clients that ask all the time, each request over a new connection, or over one that is kept.

    A kept connection may end between two requests; then sending fails with EPIPE, which says that
    nothing was delivered, and the request goes over a new one. Anything else is a failed request.
    """

    def __init__(self, path, clients=4, kept=2, greeting=""):
        self.path = path
        self.greeting = greeting
        self.answers = {}
        self.failures = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._once) for _ in range(clients)]
        self._threads += [threading.Thread(target=self._kept) for _ in range(kept)]

    def _count(self, pid):
        with self._lock:
            self.answers[pid] = self.answers.get(pid, 0) + 1

    def _once(self):
        while not self._stop.is_set():
            try:
                self._count(ask(self.path, self.greeting))
            except Exception as failure:  # noqa: BLE001 - the test reports it
                self.failures.append(repr(failure))

    def _kept(self):
        client = UnixConnection(self.path)
        while not self._stop.is_set():
            try:
                client.request("GET", "/")
            except BrokenPipeError:
                client.close()
                continue
            except Exception as failure:  # noqa: BLE001
                self.failures.append(f"kept, sending: {failure!r}")
                client.close()
                continue
            try:
                self._count(pid_in(client.getresponse(), self.greeting))
            except Exception as failure:  # noqa: BLE001
                self.failures.append(f"kept: {failure!r}")
                client.close()
        client.close()

    def reaches(self, pid, count=50):
        """Waits until this server has answered so often."""
        wait_until(lambda: self.answers.get(pid, 0) >= count, what=f"{count} answers of {pid}")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)
