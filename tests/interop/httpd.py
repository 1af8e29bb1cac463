"""What the tests of examples-c/httpd share: the daemon, one request, what /proc says of it."""

import contextlib
import os
import re
import socket
from pathlib import Path

import pytest
from conftest import DEADLINE, Daemon, example, run, tool, wait_until
from peers import UnixConnection

DELIVERIES = ["pool", "inline"]
# By the main thread too: where that makes a difference.
ALL_DELIVERIES = [*DELIVERIES, "queue"]
NOBODY = 65534


class Httpd:
    """A running httpd and its socket. `extra` are options; leaving the block ends it well."""

    def __init__(self, path, *extra, delivery="pool", env=None):
        self.path = path
        self.argv = [example("httpd"), path, "--delivery", delivery, *extra]
        self.daemon = Daemon(*self.argv, ready=f"listening on {path}", env=env)
        self.pid = self.daemon.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, *about):
        self.daemon.__exit__(kind, *about)
        if kind is None:
            assert "handles were not freed" not in self.daemon.output, self.daemon.output

    def ask(self, target="/", method="GET", body=None, headers=None):
        """One request by Python's http.client on its own connection: (status, headers, body)."""
        with contextlib.closing(UnixConnection(self.path)) as connection:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def connect(self):
        """A raw connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        connection.connect(str(self.path))
        return connection

    def raw(self, data):
        """Sends bytes, half-closes, and returns all that comes back."""
        with self.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def curl(self, *arguments, prefix=(), **options):
        """curl's output; its exit status must be 0."""
        command = [*prefix, tool("curl"), "-sS", "-m", "60", "--unix-socket", self.path]
        done = run(*command, *arguments, text=False, timeout=90, **options)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return done.stdout

    def metrics(self):
        """{name with labels: value} of GET /metrics."""
        status, headers, body = self.ask("/metrics")
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line for line in body.decode().splitlines() if line and line[0] != "#"]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        """Resident memory, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.M)[1]) * 1024

    def idle(self, deadline=DEADLINE):
        """Waits until we alone are connected; the counters of that moment."""

        def look():
            counts = self.metrics()
            alone = counts["hysock_server_connections_open"] == 1
            return alone and counts["hysock_server_requests_in_flight"] <= 1 and counts

        return wait_until(look, deadline, "all connections gone")


def read_all(connection):
    whole = bytearray()
    while piece := connection.recv(1 << 16):
        whole += piece
    return bytes(whole)


def as_nobody():
    """What to put before a command so that another user runs it."""
    sudo = [] if os.getuid() == 0 else [tool("sudo"), "-n"]
    return [*sudo, tool("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@pytest.fixture(params=DELIVERIES)
def httpd(request, sockdir):
    """An httpd with a folder of files, which anybody may connect to."""
    sockdir.chmod(0o755)
    root = sockdir / "root"
    root.mkdir()
    with Httpd(
        sockdir / "s", "--root", root, "--mode", "0666", delivery=request.param
    ) as server:
        server.root = root
        yield server
    assert not server.path.exists(), "the socket file stayed behind"
