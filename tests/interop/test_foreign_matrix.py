"""One list of questions, asked of every server: bodies with a length, in chunks, until the end of the
connection, ten MiB of them; answers without a body; informational ones; kept connections."""

import hashlib
import os
import random
import socket
import sys
import threading
from pathlib import Path

import pytest
from conftest import DEADLINE, go_environment, run, tool
from peers import HELLO, compiled, start_nginx, start_python, wait_accepts

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers"
SIZE = 10 << 20
NUMBERS = b"".join(b"%d\n" % n for n in range(1000))
LARGE = random.Random(1).randbytes(SIZE)


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    program = compiled(tmp_path_factory.mktemp("ask"), "ask")

    def one(*arguments, body=b""):
        # A pipe: what is sent has no length of its own.
        done = run(program, *arguments, input=body, text=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return Answer(done.stderr.decode(), done.stdout)

    return one


class Answer:
    def __init__(self, said, body):
        lines = said.splitlines()
        self.informational = [int(x.split()[1]) for x in lines if x.startswith("informational ")]
        self.status = int([x for x in lines if x.startswith("status ")][-1].split()[1])
        self.headers = dict(x.lower().split(": ", 1) for x in lines if ": " in x)
        self.body = body


class Relay:
    """Counts the connections to a server."""

    def __init__(self, path, to):
        self.connections = 0
        self._to = str(to)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._to)
            for one, other in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass, args=(one, other))
                thread.start()
                self._threads.append(thread)

    @staticmethod
    def _pass(one, other):
        try:
            while piece := one.recv(65536):
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def python_module(name, *arguments):
    return [sys.executable, "-m", name, *arguments]


def commands(path, folder):
    return {
        "gunicorn": python_module(
            "gunicorn", "-b", f"unix:{path}", "-w", "1", "-k", "gthread", "--threads", "4",
            "--no-control-socket", "wsgi_app:app",
        ),
        "uvicorn": python_module("uvicorn", "--uds", str(path), "--log-level", "error", "asgi_app:app"),
        "hypercorn": python_module("hypercorn", "-w", "0", "-b", f"unix:{path}", "asgi_app:app"),
        "aiohttp": [sys.executable, str(SERVERS / "aiohttp_server.py"), str(path)],
        "node": [tool("node"), str(SERVERS / "node_server.js"), str(path)],
        "mhd": [str(folder / "mhd_server"), str(path)],
        "go": [str(folder / "go_server"), str(path)],
    }  # fmt: skip


@pytest.fixture(params=["gunicorn", "uvicorn", "hypercorn", "aiohttp", "node", "mhd", "go"])
def server(request, daemon, sockdir):
    path = sockdir / "s"
    if request.param == "mhd":
        source, out = HERE / "mhd_server.c", sockdir / "mhd_server"
        done = run(tool("cc"), "-std=c99", "-O1", source, "-o", out, "-lmicrohttpd", timeout=60)
        assert done.returncode == 0, done.stderr
    if request.param == "go":
        toolchain, env = go_environment()
        # With the race detector, as the package's tests: Go's own packages are built once for both.
        command = [toolchain / "bin/go", "build", "-race", "-o", sockdir / "go_server", "go_server.go"]
        done = run(*command, cwd=SERVERS, env=env, timeout=600)
        assert done.returncode == 0, done.stderr
    command = commands(path, sockdir)[request.param]
    process = daemon(*command, status=None, cwd=SERVERS)
    wait_accepts(path, process)
    return request.param, path


def check_same(got, expected):
    assert len(got) == len(expected)
    assert hashlib.sha256(got).digest() == hashlib.sha256(expected).digest()


def test_matrix(server, ask, sockdir):
    name, path = server
    got = ask(path, "GET", "/hello")
    assert (got.status, got.body, got.headers["content-length"]) == (200, HELLO, "13")
    got = ask(path, "HEAD", "/hello")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "13")
    got = ask(path, "GET", "/chunked")
    assert (got.status, got.body) == (200, NUMBERS)
    assert got.headers["transfer-encoding"] == "chunked"
    for status in (204, 304):
        got = ask(path, "GET", f"/{status}")
        assert (got.status, got.body) == (status, b"")
    assert ask(path, "GET", "/absent").status == 404

    # Ten MiB up and down, with a length and in chunks.
    kind = ["-t", "application/octet-stream"]
    got = ask(*kind, "-l", SIZE, path, "POST", "/echo", body=LARGE)
    assert (got.status, got.headers["content-length"]) == (200, str(SIZE))
    check_same(got.body, LARGE)
    got = ask(*kind, path, "POST", "/echo-chunked", body=LARGE)
    assert (got.status, got.headers["transfer-encoding"]) == (200, "chunked")
    check_same(got.body, LARGE)

    got = ask(*kind, "-e", path, "POST", "/echo", body=b"after the 100")
    assert (got.informational, got.status, got.body) == ([100], 200, b"after the 100")
    if name in ("node", "go"):
        got = ask(path, "GET", "/early")
        assert (got.informational, got.status, got.body) == ([102, 103], 200, b"late")
    if name in ("node", "mhd"):
        got = ask(path, "GET", "/close")
        assert (got.status, got.body) == (200, NUMBERS)
        assert not {"content-length", "transfer-encoding"} & set(got.headers)

    with Relay(sockdir / "r", path) as relay:
        assert ask("-n", 20, sockdir / "r", "GET", "/chunked").body == NUMBERS * 20
        assert relay.connections == 1
        got = ask("-n", 5, *kind, "-l", 0, sockdir / "r", "POST", "/echo")
        assert (got.status, got.body, relay.connections) == (200, b"", 2)
        if name in ("node", "mhd"):
            assert ask("-n", 3, sockdir / "r", "GET", "/close").body == NUMBERS * 3
            assert relay.connections == 5


def test_nginx_takes_and_gives_ten_mib(ask, daemon, sockdir):
    path = sockdir / "n"
    text = "client_max_body_size 16m; location /dav { dav_methods PUT DELETE; }"
    start_nginx(daemon, sockdir, {path: text})
    (sockdir / "www" / "dav").mkdir()
    os.chmod(sockdir, 0o755)
    kind = ["-t", "application/octet-stream"]
    assert ask(*kind, "-l", SIZE, path, "PUT", "/dav/a", body=LARGE).status == 201
    assert ask(*kind, path, "PUT", "/dav/b", body=LARGE).status == 201  # in chunks
    for name in ("a", "b"):
        check_same(ask(path, "GET", f"/dav/{name}").body, LARGE)
    assert ask(*kind, "-e", path, "PUT", "/dav/a", body=b"short").informational == [100]
    got = ask("-H", "If-None-Match: *", path, "GET", "/dav/a")
    assert (got.status, got.body) == (304, b"")
    assert ask(path, "DELETE", "/dav/a").status == 204
    assert ask(path, "GET", "/dav/a").status == 404
    # An answer while most of the body has not been sent.
    got = ask(*kind, "-l", 2 * SIZE, path, "PUT", "/dav/c", body=LARGE + LARGE)
    assert got.status == 413


def test_python_answers_until_the_end(ask, daemon, sockdir):
    for version in ("HTTP/1.0", "HTTP/1.1"):
        path = sockdir / version[-1]
        start_python(daemon, path, version)
        assert ask("-n", 3, path, "GET", "/until-close").body == NUMBERS * 3
