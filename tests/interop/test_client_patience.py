"""hysock's client against servers that are slow, full, not up yet, or not who they should be."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import DEADLINE, Daemon, example, run, tool

SLACK = 1.0  # seconds that a loaded machine may need on top
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Server:
    """Accepts every so often, from a small backlog; `speak(peer)` does the rest."""

    def __init__(self, path, speak, backlog=5, pause=0.0):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(path))
        self.sock.listen(backlog)
        self.sock.settimeout(0.1)
        self.speak, self.pause, self.accepted = speak, pause, 0
        self.ending = threading.Event()
        self.peers = []
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        while not self.ending.is_set():
            with contextlib.suppress(TimeoutError):
                peer, _ = self.sock.accept()
                peer.settimeout(DEADLINE)
                self.accepted += 1
                thread = threading.Thread(target=self.talk, args=[peer], daemon=True)
                thread.start()
                self.peers.append(thread)
                time.sleep(self.pause)

    def talk(self, peer):
        with peer, contextlib.suppress(OSError):
            self.speak(peer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in [self.thread, *self.peers]:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        self.sock.close()


def head(peer):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return False
        data += piece
    return True


def answer(peer):
    if head(peer):
        peer.sendall(ANSWER)
        peer.recv(1)  # the client closes first


def test_a_small_backlog_costs_time_and_no_call(sockdir):
    """Each call needs a connection of its own, and one is accepted every 10 ms."""
    path = sockdir / "slow"
    with Server(path, answer, backlog=2, pause=0.01) as server:
        done = run(example("many_calls"), path, 200, 200, timeout=60)
        assert server.accepted == 200
    assert re.fullmatch(r"200 answers, 0 errors, \d+\.\d+ s\n", done.stdout), done
    assert (done.returncode, done.stderr) == (0, "")


def test_200_processes_at_once_wait_or_are_told_that_it_is_busy(sockdir):
    path = sockdir / "slow"
    with Server(path, answer, backlog=2, pause=0.01):
        asked = [
            subprocess.Popen(
                [example("request"), "--connect-timeout", "100", str(path), "/"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(200)
        ]
        ended = [(*process.communicate(timeout=60), process.returncode) for process in asked]
    for out, err, status in ended:
        if status == 0:
            assert (out, err) == ("ok", "")
        else:
            assert re.fullmatch(r"request: the backlog of .* stayed full for \d+ ms: .*\n", err)
            assert str(path) in err and "nobody listens" not in err
    assert any(status == 0 for _, _, status in ended)


def test_a_full_backlog_is_given_up_in_time(sockdir):
    path = sockdir / "full"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(str(path))
            for limit in [30, 100, 800]:
                start = time.monotonic()
                done = run(example("request"), "--connect-timeout", limit, path, "/")
                took = time.monotonic() - start
                assert limit / 1000 <= took < limit / 1000 + SLACK
                assert done.returncode == 1
                waited = int(re.search(r"stayed full for (\d+) ms", done.stderr)[1])
                assert waited < limit + 400


def silent(peer):
    head(peer)
    peer.recv(1)


def half(peer):
    head(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    peer.recv(1)


def drip(peer):
    """One byte every 50 ms, for as long as somebody reads."""
    head(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        peer.sendall(b".")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("speak", "option", "word"),
    [
        (silent, "--max-time", "no whole answer within 200 ms"),
        (silent, "--idle-timeout", "not one byte moved, either way, for 200 ms"),
        (half, "--max-time", "no whole answer within 200 ms"),
        (half, "--idle-timeout", "not one byte moved, either way, for 200 ms"),
        (drip, "--max-time", "no whole answer within 200 ms"),
    ],
)
def test_each_timeout_says_which_it_was(sockdir, speak, option, word):
    path = sockdir / "s"
    with Server(path, speak):
        start = time.monotonic()
        done = run(example("request"), option, "200", path, "/")
        assert 0.2 <= time.monotonic() - start < 0.2 + SLACK
    assert (done.returncode, done.stdout) == (1, "")
    assert word in done.stderr


def test_a_drip_is_not_idle(sockdir):
    path = sockdir / "s"

    def twenty(peer):
        head(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            time.sleep(0.05)
            peer.sendall(b".")
        peer.recv(1)

    with Server(path, twenty):
        done = run(example("request"), "--idle-timeout", "500", path, "/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "." * 20, "")


# Who the server is


NOBODY = 65534
AS_NOBODY = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def address_string(self):
        return "-"
    def log_message(self, *_):
        pass
with socketserver.UnixStreamServer(sys.argv[1], Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_server_of_another_user_gets_not_one_byte(sockdir):
    os.chmod(sockdir, 0o777)
    path = sockdir / "s"
    become = [tool("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    program = [sys.base_prefix + "/bin/python3", "-c", AS_NOBODY, path]
    with Daemon(*become, *program, ready="ready", status=None) as server:
        done = run(example("request"), "--peer-uid", NOBODY, path, "/")
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok", "")
        done = run(example("request"), "--peer-uid", 0, path, "/")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"uid {NOBODY} (gid {NOBODY}, pid {server.pid})" in done.stderr
        assert server.output.count("asked") == 1
