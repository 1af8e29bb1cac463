"""Runs every program of examples-c as its user would, and looks at what comes out."""

import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import stat
import subprocess
import threading
import time
import urllib.parse
import warnings

import pytest
from conftest import DEADLINE, ROOT, Daemon, children, example, run, tool, wait_until

PROGRAMS = {
    "httpd",
    "hello_server",
    "request",
    "docker_ping",
    "docker_logs",
    "docker_exec",
    "docker_events",
    "deferred_answer",
    "peer_credentials",
    "proxy",
    "loop_poll",
    "many_calls",
    "errors",
    "graceful_shutdown",
    "socket_activation",
    "hand_over",
    "one_shot",
    "blocking_calls",
    "cancel",
    "stream_upload",
    "stream_download",
    "upgrade_echo",
    "receiver",
    "producer",
    "funnel",
    "log_collector",
    "statsd_sink",
    "fd_pass",
    "loop_epoll",
    "loop_libevent",
    "loop_libuv",
    "loop_glib",
    "loop_sd_event",
    "embed_in_daemon",
}
DELIVERIES = ["pool", "inline", "queue"]


def serve(program, path, *args, **options):
    """A server example that listens on `path`; ends with the block, by SIGTERM, status 0."""
    return Daemon(example(program), path, *args, ready=f"listening on {path}", **options)


class Connection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, target="/", method="GET", body=None, headers=None):
    """One request by http.client: (status, headers, body)."""
    with contextlib.closing(Connection(path)) as connection:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def listen(path, backlog=16):
    """A listening socket that only does what the test does with it."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE)
    sock.bind(str(path))
    sock.listen(backlog)
    return sock


def accept(sock):
    peer, _ = sock.accept()
    peer.settimeout(DEADLINE)
    return peer


def read_head(peer):
    """The bytes up to the empty line; fails when the peer ends before."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        assert piece, f"the peer ended early, after {data!r}"
        data += piece
    return data


class Upstream(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Python's HTTP server on a Unix socket; `answer(handler, body)` answers, `seen` remembers
    (method, target, headers, body)."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, path, answer):
        self.seen = []
        self.answer = answer
        super().__init__(str(path), self.Handler)
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join(DEADLINE)
        self.server_close()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.server.seen.append((self.command, self.path, self.headers, body))
            self.server.answer(self, body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PURGE = handle_any

        def reply(self, status, body=b"", **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass


def one_line(text):
    assert re.fullmatch(r"[^\n]+\n", text), f"not one line: {text!r}"
    return text


def test_each_program_has_its_tests():
    stems = {path.stem for path in (ROOT / "examples-c").glob("*.c")}
    parts = {"docker", *(stem for stem in stems if stem.startswith("httpd_"))}
    assert stems - parts == PROGRAMS
    for name in PROGRAMS:
        assert os.access(example(name), os.X_OK)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_each_program_opens_with_what_it_teaches(name):
    assert (ROOT / "examples-c" / f"{name}.c").read_text().startswith("/* Teaches: ")


# ---- hello_server ----


@pytest.fixture(params=DELIVERIES)
def hello(request, sockdir):
    path = sockdir / "hello.sock"
    with serve("hello_server", path, "--delivery", request.param) as server:
        server.path = path
        yield server


def curl(path, *args):
    done = run(tool("curl"), "-sS", "--max-time", "20", "--unix-socket", path, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hello_to_curl(hello):
    out = curl(hello.path, "-i", "http://localhost/")
    head, _, body = out.partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "content-type: text/plain" in head.lower().split("\n")
    assert body == "Hello, world!"


def test_hello_to_head(hello):
    out = curl(hello.path, "-I", "http://localhost/")
    assert out.startswith("HTTP/1.1 200 OK\n")
    assert "content-length: 13\n" in out.lower()
    assert "Hello" not in out


def test_hello_elsewhere_is_404(hello):
    for target in ["/nothing", "/a/b", "//"]:
        status, headers, body = ask(hello.path, target)
        assert status == 404
        assert headers["content-type"] == "text/plain"
        assert 0 < len(body) < 100
    assert ask(hello.path, "/?query=1")[0] == 200
    assert ask(hello.path, "/nothing", "POST", b"data")[0] == 404
    assert ask(hello.path, "/", "POST", b"data")[0] == 404


def test_hello_keeps_the_connection(hello):
    with contextlib.closing(Connection(hello.path)) as connection:
        connection.connect()
        sock = connection.sock
        for _ in range(100):
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"Hello, world!")
            assert connection.sock is sock


@pytest.mark.parametrize("delivery", [None, *DELIVERIES])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_hello_ends_on_signals(sockdir, delivery, number):
    path = sockdir / "hello.sock"
    args = [] if delivery is None else ["--delivery", delivery]
    with serve("hello_server", path, *args) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        # An idle connection holds nothing up.
        with contextlib.closing(Connection(path)) as connection:
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"Hello, world!"
            server.stop(status=0, number=number, deadline=5)
    assert not path.exists()
    assert server.lines == [f"listening on {path}"]


def test_hello_refuses_a_socket_in_use(hello):
    done = run(example("hello_server"), hello.path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert str(hello.path) in one_line(done.stderr)
    assert str(hello.pid) in done.stderr
    assert ask(hello.path)[0] == 200  # the first one was not disturbed


def test_hello_replaces_a_dead_socket(sockdir):
    path = sockdir / "hello.sock"
    with serve("hello_server", path) as server:
        server.send(signal.SIGKILL)
        server.wait(status=-signal.SIGKILL)
    assert path.exists()
    with serve("hello_server", path):
        assert ask(path)[0] == 200


@pytest.mark.parametrize("args", [[], ["s", "--delivery"], ["s", "--delivery", "mail"], ["a", "b"]])
def test_hello_usage(sockdir, args):
    done = run(example("hello_server"), *args, cwd=sockdir)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: hello_server ")
    assert not list(sockdir.iterdir())


# ---- request ----


def test_request_prints_the_body(hello):
    done = run(example("request"), hello.path, "/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!", "")


def test_request_prints_the_head(hello):
    done = run(example("request"), "-i", hello.path, "/")
    assert done.returncode == 0
    head, _, body = done.stdout.partition("\n\n")
    lines = head.split("\n")
    assert lines[0] == "HTTP/1.1 200"
    assert "content-type: text/plain" in lines
    assert "content-length: 13" in lines
    assert body == "Hello, world!"


def test_request_takes_an_http_error_for_an_answer(hello):
    done = run(example("request"), hello.path, "/nothing")
    assert done.returncode == 0
    assert done.stdout == "Nothing here. Try GET /\n"
    assert one_line(done.stderr) == "request: HTTP status 404\n"
    done = run(example("request"), "-i", hello.path, "/nothing")
    assert done.stdout.startswith("HTTP/1.1 404\n")


def test_request_sends_what_it_was_told(sockdir):
    path = sockdir / "up.sock"
    with Upstream(path, lambda handler, body: handler.reply(200, body)) as up:
        done = run(
            *[example("request"), "-X", "PUT", "-H", "X-One: 1", "-H", "X-Two:  two words "],
            *["-H", "X-Two: again", "-H", "Host: somewhere", "-d", "a=b&c", path, "/p?q=%20"],
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "a=b&c", "")
        method, target, headers, body = up.seen.pop()
        assert (method, target, body) == ("PUT", "/p?q=%20", b"a=b&c")
        assert headers["x-one"] == "1"
        assert [value.strip() for value in headers.get_all("x-two")] == ["two words", "again"]
        assert headers.get_all("host") == ["somewhere"]
        assert headers.get_all("content-type") == ["application/x-www-form-urlencoded"]
        assert headers.get_all("content-length") == ["5"]

        assert run(example("request"), "-d", "{}", path, "/").returncode == 0
        method, _, headers, _ = up.seen.pop()
        assert method == "POST"
        assert headers.get_all("host") == ["localhost"]

        args = ["-d", "{}", "-H", "Content-Type: application/json"]
        assert run(example("request"), *args, path, "/").returncode == 0
        assert up.seen.pop()[2].get_all("content-type") == ["application/json"]

        assert run(example("request"), path, "/").returncode == 0
        method, _, headers, body = up.seen.pop()
        assert (method, body) == ("GET", b"")
        assert headers["content-type"] is None


def test_request_prints_bytes(sockdir):
    data = bytes(range(256)) * 4096  # 1 MiB with NULs
    path = sockdir / "up.sock"
    with Upstream(path, lambda handler, _: handler.reply(200, data)):
        done = run(example("request"), path, "/", text=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")


@pytest.mark.parametrize(
    "answer, head, body",
    [
        (
            b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
            b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 200",
            "abcde",
        ),
        (b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end", "HTTP/1.0 200", "until the end"),
        (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", "HTTP/1.1 204", ""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nno",
            "HTTP/1.1 503",
            "no",
        ),
    ],
    ids=["chunked", "http10", "no-content", "interim"],
)
def test_request_reads_all_kinds_of_answers(sockdir, answer, head, body):
    path = sockdir / "up.sock"
    with listen(path) as sock, client("request", "-i", path, "/") as process:
        with accept(sock) as peer:
            assert read_head(peer).startswith(b"GET / HTTP/1.1\r\n")
            peer.sendall(answer)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, err) == (0, "")
    got, _, rest = out.partition("\n\n")
    assert got.split("\n")[0] == head
    assert "x-a: 1" in got.lower().split("\n")
    assert rest == body


@contextlib.contextmanager
def client(program, *args):
    """An example that runs beside the test; killed when the block fails."""
    process = subprocess.Popen(
        [example(program), *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
    ],
    ids=["nothing", "garbage", "short", "short-chunk", "nul"],
)
def test_request_says_what_is_wrong_with_an_answer(sockdir, answer):
    path = sockdir / "up.sock"
    with listen(path) as sock, client("request", path, "/") as process:
        with accept(sock) as peer:
            read_head(peer)
            peer.sendall(answer)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (1, "")
    assert one_line(err).startswith("request: ")


def test_request_to_nobody(sockdir):
    done = run(example("request"), sockdir / "absent.sock", "/")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(sockdir / "absent.sock") in one_line(done.stderr)

    dead = sockdir / "dead.sock"
    listen(dead).close()
    done = run(example("request"), dead, "/")
    assert done.returncode == 1
    assert str(dead) in one_line(done.stderr)

    done = run(example("request"), sockdir, "/")
    assert done.returncode == 1
    assert str(sockdir) in one_line(done.stderr)


def test_request_times_out(sockdir):
    path = sockdir / "silent.sock"
    with listen(path):
        start = time.monotonic()
        done = run(example("request"), "--max-time", "100", path, "/")
        assert 0.1 <= time.monotonic() - start < 10
    assert (done.returncode, done.stdout) == (1, "")
    one_line(done.stderr)


@pytest.mark.parametrize(
    "args",
    [
        ["-H", "X-A: one\r\nX-B: two", "SOCKET", "/"],
        ["-H", "X A: one", "SOCKET", "/"],
        ["-H", ": one", "SOCKET", "/"],
        ["-X", "GE T", "SOCKET", "/"],
        ["-X", "", "SOCKET", "/"],
        ["SOCKET", "no-slash"],
        ["SOCKET", ""],
        ["SOCKET", "/a b"],
        ["SOCKET", "/\r\nX-A: 1"],
    ],
)
def test_request_refuses_what_breaks_http(sockdir, args):
    path = sockdir / "up.sock"
    with listen(path) as sock:
        done = run(example("request"), *[path if arg == "SOCKET" else arg for arg in args])
        assert (done.returncode, done.stdout) == (1, "")
        assert one_line(done.stderr).startswith("request: ")
        # Not one byte was sent, whether it connected or not.
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            with accept(sock) as peer:
                assert peer.recv(1) == b""


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["s"],
        ["unix:///run/s"],
        ["http+unix://%2Fs/a", "/b"],
        ["s", "/", "more"],
        ["-X"],
        ["-z", "s", "/"],
        ["--max-time", "soon", "s", "/"],
        ["--max-time", "-1", "s", "/"],
        ["--max-time", "0", "s", "/"],
        ["--max-time", "4294967295", "s", "/"],
        ["--connect-timeout", "0", "s", "/"],
        ["--idle-timeout", "x", "s", "/"],
        ["--peer-uid", "root", "s", "/"],
        ["--peer-uid", "4294967295", "s", "/"],
        ["-H", "no colon", "s", "/"],
        ["-d", "x", "-T", "file", "s", "/"],
        ["-N", "-o", "file", "s", "/"],
    ],
)
def test_request_usage(sockdir, args):
    done = run(example("request"), *args, cwd=sockdir)
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr)


def test_request_takes_every_form_of_an_address(hello):
    path = str(hello.path)
    hexed = f"unix://{path.encode().hex()}:0"
    for args in [
        [f"unix:{path}", "/"],
        [f"unix://{path}", "/"],
        [encoded(path, "/")],
        [encoded(path, "/?a=b")],
        [encoded(path), "/"],
        [encoded(path, "/"), "/?a"],
        [f"{hexed}/"],
        [hexed, "/"],
    ]:
        done = run(example("request"), *args)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!", ""), args
    assert run(example("request"), encoded(path, "/nothing")).stderr.endswith("404\n")
    done = run(example("request"), hello.path.name, "/", cwd=hello.path.parent)
    assert (done.returncode, done.stdout) == (0, "Hello, world!")
    done = run(example("request"), "tcp://localhost:80", "/")
    assert done.returncode == 1
    assert "Unix sockets only" in one_line(done.stderr)


def test_request_looks_at_who_the_server_is(hello):
    own = os.geteuid()
    done = run(example("request"), "--peer-uid", own, hello.path, "/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!", "")
    done = run(example("request"), "--peer-uid", own + 1, hello.path, "/")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"uid {own} (gid {os.getegid()}, pid {hello.pid})" in one_line(done.stderr)


def test_request_against_a_full_disk(hello):
    with open("/dev/full", "w") as full:
        done = run(example("request"), hello.path, "/", stdout=full)
    assert done.returncode == 1
    assert "stdout" in one_line(done.stderr)


# ---- docker_ping ----

DOCKER = {
    "/_ping": b"OK",
    "/version": b'{"Version":"99.1"}\n',
    "/containers/json?all=true": b'[{"Id":"abc"}]\n',
}


def test_docker_ping(sockdir):
    def answer(handler, _):
        body = DOCKER[handler.path]
        handler.reply(200, body, Api_Version="1.99")

    path = sockdir / "docker.sock"
    with Upstream(path, answer) as up:
        done = run(example("docker_ping"), path)
        assert (done.returncode, done.stderr) == (0, "")
        assert [target for _, target, _, _ in up.seen] == list(DOCKER)
    lines = done.stdout.splitlines()
    assert lines[0] == "ping: OK"
    assert lines[1].startswith("server: BaseHTTP/")
    assert lines[2] == "api-version: 1.99"
    assert lines[3] == 'version: {"Version":"99.1"}'
    assert lines[4] == 'containers: [{"Id":"abc"}]'
    assert len(lines) == 5


def test_docker_ping_keeps_its_connection(sockdir):
    path = sockdir / "docker.sock"
    with listen(path) as sock, client("docker_ping", path) as process:
        with accept(sock) as peer:
            for target, body in DOCKER.items():
                assert read_head(peer).startswith(b"GET " + target.encode() + b" HTTP/1.1\r\n")
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, err) == (0, "")
    assert "server: (none)\n" in out


def test_docker_ping_errors(sockdir):
    done = run(example("docker_ping"), sockdir / "absent.sock")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(sockdir / "absent.sock") in one_line(done.stderr)

    path = sockdir / "docker.sock"
    with Upstream(path, lambda handler, _: handler.reply(500, b"broken")):
        done = run(example("docker_ping"), path)
    assert (done.returncode, done.stdout) == (1, "")
    assert one_line(done.stderr) == "docker_ping: /_ping: HTTP status 500: broken\n"
    assert run(example("docker_ping"), "a", "b").returncode == 2


# ---- deferred_answer ----


@pytest.fixture
def deferred(sockdir):
    path = sockdir / "deferred.sock"
    with serve("deferred_answer", path) as server:
        server.path = path
        yield server


def send_request(path, target):
    """A request whose answer is not waited for."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE)
    sock.connect(str(path))
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return sock


def read_all(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_deferred_answers(deferred):
    status, headers, body = ask(deferred.path, "/0")
    assert (status, headers["content-type"], body) == (200, "text/plain", b"done\n")
    assert deferred.wait_line("waiting /0") == "waiting /0"
    assert deferred.wait_line("answered /0") == "answered /0"


def test_deferred_answers_wait_for_the_work(deferred):
    start = time.monotonic()
    assert ask(deferred.path, "/200")[0] == 200
    assert time.monotonic() - start >= 0.2


def test_deferred_answers_to_many(deferred):
    socks = [send_request(deferred.path, f"/5?{i}") for i in range(40)]
    for sock in socks:
        with sock:
            assert read_all(sock).endswith(b"\r\n\r\ndone\n")


def test_deferred_notices_that_the_client_left(deferred):
    with send_request(deferred.path, "/500") as busy:
        deferred.wait_line("waiting /500")
        with send_request(deferred.path, "/1?left"):
            deferred.wait_line("waiting /1?left")
        deferred.wait_line("gone /1?left")
        assert read_all(busy).endswith(b"done\n")
    assert "answered /1?left" not in deferred.output


def test_deferred_notices_that_the_client_left_while_it_works(deferred):
    with send_request(deferred.path, "/300"):
        deferred.wait_line("waiting /300")
    deferred.wait_line("gone /300")
    assert ask(deferred.path, "/0")[0] == 200


def test_deferred_drains(deferred):
    with send_request(deferred.path, "/300") as sock:
        deferred.wait_line("waiting /300")
        deferred.send(signal.SIGTERM)
        assert read_all(sock).endswith(b"done\n")
        deferred.wait(status=0)


# ---- graceful_shutdown ----


def begin(server, path, target):
    """A connection on which a request waits for its answer."""
    before = server.output.count("waiting")
    connection = Connection(path)
    connection.request("GET", target)
    deadline = time.monotonic() + DEADLINE
    while server.output.count("waiting") == before:
        assert time.monotonic() < deadline, server.output
        time.sleep(0.005)
    return connection


def test_graceful_shutdown_answers_what_is_under_way(sockdir):
    path = sockdir / "s"
    with serve("graceful_shutdown", path) as server:
        assert ask(path)[0] == 200
        with contextlib.closing(begin(server, path, "/700")) as connection:
            server.send(signal.SIGTERM)
            server.wait_line("ending")
            with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
                ask(path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"done\n")
            assert answer.headers["connection"] == "close"
        server.wait()
    assert "closed: no error, 0 without an answer" in server.lines
    assert not path.exists()


@pytest.mark.parametrize("args, signals", [([], 2), (["200"], 1)])
def test_graceful_shutdown_has_an_end(sockdir, args, signals):
    path = sockdir / "s"
    with serve("graceful_shutdown", path, *args) as server:
        with contextlib.closing(begin(server, path, "/60000")) as connection:
            for line in ["ending", "ending at once"][:signals]:
                server.send(signal.SIGTERM)
                server.wait_line(line)
            with pytest.raises(http.client.RemoteDisconnected):
                connection.getresponse()
        server.wait()
    assert "closed: timed out, 1 without an answer" in server.output


def test_graceful_shutdown_reads_its_settings_again(sockdir):
    path, settings = sockdir / "s", sockdir / "s.conf"
    with serve("graceful_shutdown", path) as server:
        assert ask(path, "/600")[0] == 200
        settings.write_text("100\n")
        server.send(signal.SIGHUP)
        server.wait_line("reloaded")
        assert ask(path, "/60000")[0] == 503
        settings.write_text("0\n")
        server.send(signal.SIGHUP)
        server.wait_line("hysock_server_config_set_handler_timeout")
        assert ask(path, "/60000")[0] == 503
        settings.unlink()
        server.send(signal.SIGHUP)
        wait_until(lambda: server.output.count("reloaded") == 2, what="a second reload")
        assert ask(path, "/600")[0] == 200


def test_graceful_shutdown_usage():
    done = run(example("graceful_shutdown"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: graceful_shutdown SOCKET [DRAIN_MS]\n"


# ---- peer_credentials ----


def test_peer_credentials_says_who_calls(sockdir):
    path = sockdir / "peer.sock"
    with serve("peer_credentials", path):
        status, _, body = ask(path)
        groups = "".join(f" {group}" for group in os.getgroups())
        expected = f"uid {os.geteuid()} gid {os.getegid()} pid {os.getpid()}"
        assert status == 200
        assert body.decode() == f"{expected}{groups and ' groups' + groups}\n"
        assert ask(path, "/admin")[::2] == (200, b"at your service\n")
    assert not path.exists()


def test_peer_credentials_keeps_others_from_one_route(sockdir):
    if os.geteuid() != 0:
        warnings.warn("not root: nobody else was tried", stacklevel=1)
        return
    path = sockdir / "peer.sock"
    sockdir.chmod(0o755)
    other = [tool("setpriv"), "--reuid=54321", "--regid=54322", "--groups=54324,54323"]
    command = [*other, tool("curl"), "-sS", "--max-time", "20", "--unix-socket", path]
    with serve("peer_credentials", path):
        done = run(*command, "http://localhost/", cwd="/")
        assert re.fullmatch(r"uid 54321 gid 54322 pid \d+ groups 54323 54324\n", done.stdout)
        done = run(*command, "-w", "%{http_code}", "http://localhost/admin", cwd="/")
        assert done.stdout == "403 this user is not allowed here\n403"


def test_peer_credentials_usage():
    done = run(example("peer_credentials"))
    assert done.returncode == 2
    assert done.stderr == "usage: peer_credentials SOCKET\n"


# ---- proxy ----


def test_proxy_passes_requests_and_answers(sockdir):
    def answer(handler, body):
        handler.reply(
            *[207, handler.command.encode() + b" " + body],
            **{"X-Answer": "yes", "Content-Type": "text/x", "Connection": "X-Hop", "X-Hop": "1"},
        )

    behind, front = sockdir / "up.sock", sockdir / "proxy.sock"
    with Upstream(behind, answer) as up, serve("proxy", front, behind):
        headers = {"X-A": "a b", "TE": "x", "Connection": "X-Private, close", "X-Private": "1"}
        status, got, body = ask(front, "/p/q?r=%2F", "PURGE", b"some data", headers)
        assert (status, body) == (207, b"PURGE some data")
        assert got["x-answer"] == "yes"
        assert got.get_all("content-type") == ["text/x"]
        assert got.get_all("content-length") == ["15"]
        assert got["x-hop"] is None

        method, target, sent, data = up.seen.pop()
        assert (method, target, data) == ("PURGE", "/p/q?r=%2F", b"some data")
        assert sent["x-a"] == "a b"
        assert sent.get_all("host") == ["localhost"]
        assert sent.get_all("content-length") == ["9"]
        assert sent["te"] is None and sent["x-private"] is None

        assert ask(front, "/", "POST", b"")[0] == 207
        assert up.seen.pop()[2].get_all("content-length") == ["0"]

        status, got, body = ask(front, "/", "HEAD")
        assert (status, got["x-answer"], body) == (207, "yes", b"")


def test_proxy_before_hello(sockdir, hello):
    front = sockdir / "proxy.sock"
    with serve("proxy", front, hello.path):
        assert curl(front, "http://localhost/") == "Hello, world!"
        status, _, body = ask(front, "/nothing")
        assert (status, body) == (404, b"Nothing here. Try GET /\n")
        done = run(example("many_calls"), front, "500", "20")
        assert done.returncode == 0, done.stdout + done.stderr


def test_proxy_without_a_server_behind(sockdir):
    front = sockdir / "proxy.sock"
    with serve("proxy", front, sockdir / "absent.sock") as server:
        assert ask(front)[0] == 502
        assert str(sockdir / "absent.sock") in server.wait_line("proxy: ")


def test_proxy_before_garbage(sockdir):
    behind, front = sockdir / "up.sock", sockdir / "proxy.sock"
    with listen(behind) as sock, serve("proxy", front, behind), send_request(front, "/") as asking:
        with accept(sock) as peer:
            read_head(peer)
            peer.sendall(b"220 mail ready\r\n\r\n")
        assert read_all(asking).startswith(b"HTTP/1.1 502 ")


def test_proxy_cancels_when_its_client_leaves(sockdir):
    behind, front = sockdir / "up.sock", sockdir / "proxy.sock"
    with listen(behind) as sock, serve("proxy", front, behind):
        with send_request(front, "/slow"):
            peer = accept(sock)
            read_head(peer)
        with peer:
            assert peer.recv(1) == b""  # its deadline is the socket's
        with send_request(front, "/next") as asking:  # and it goes on
            with accept(sock) as peer:
                assert read_head(peer).startswith(b"GET /next ")
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                assert read_all(asking).endswith(b"\r\n\r\nok")


def test_proxy_drains(sockdir):
    behind, front = sockdir / "up.sock", sockdir / "proxy.sock"
    with listen(behind) as sock, serve("proxy", front, behind) as server:
        with send_request(front, "/") as asking, accept(sock) as peer:
            read_head(peer)
            server.send(signal.SIGTERM)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert read_all(asking).endswith(b"\r\n\r\nok")
            server.wait(status=0)


# ---- loop_* ----

LOOPS = ["poll", "epoll", "libevent", "libuv", "glib", "sd_event"]


def callbacks(server):
    """How many callbacks ran; each of them on the loop's thread."""
    line = server.wait_line("callbacks")
    match = re.fullmatch(r"(\d+) callbacks, 0 of them not on the loop's thread", line)
    assert match, line
    return int(match[1])


@pytest.mark.parametrize("loop", LOOPS)
def test_loop(loop, sockdir):
    path = sockdir / "loop.sock"
    with serve(f"loop_{loop}", path) as server:
        assert server.wait_line("my own answer") == "my own answer: 200 request number 1"
        assert curl(path, "http://localhost/any") == "request number 2\n"
        done = run(example("many_calls"), path, "1000", "10")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ask(path)[2] == b"request number 1003\n"
        server.send(signal.SIGINT)
        server.wait(status=0)
        # The requests, one answer, one end.
        assert callbacks(server) == 1003 + 1 + 1
    assert not path.exists()


@pytest.mark.parametrize("loop", LOOPS)
def test_loop_ends_at_once(loop, sockdir):
    """SIGTERM right after the start, while it calls itself."""
    for i in range(20 if loop == "poll" else 5):
        serve(f"loop_{loop}", sockdir / f"{i}.sock").stop(status=0)


@pytest.mark.parametrize("loop", LOOPS)
def test_loop_under_valgrind(loop, sockdir):
    path = sockdir / "loop.sock"
    valgrind = [tool("valgrind"), "--quiet", "--fair-sched=yes", "--leak-check=full"]
    valgrind += ["--errors-for-leak-kinds=definite", "--error-exitcode=9"]
    argv = [*valgrind, example(f"loop_{loop}"), path]
    with Daemon(*argv, ready=f"listening on {path}", deadline=60) as server:
        server.wait_line("my own answer: 200")
        for number in range(2, 12):
            assert ask(path)[2] == f"request number {number}\n".encode()
        server.send(signal.SIGTERM)
        server.wait(status=0, deadline=60)
        assert callbacks(server) == 11 + 1 + 1


def test_loop_libuv_under_load(sockdir):
    """50,000 requests of somebody else's client, all callbacks on one thread."""
    path = sockdir / "loop.sock"
    with serve("loop_libuv", path) as server:
        server.wait_line("my own answer")
        load = [tool("h2load"), "--h1", "-n", "50000", "-c", "16", "-B", f"unix:{path}"]
        done = run(*load, "http://localhost/", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "50000 done, 50000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
        server.send(signal.SIGTERM)
        server.wait(status=0)
        assert callbacks(server) == 50001 + 1 + 1


# ---- embed_in_daemon ----


class Notified:
    """What a service manager hears by NOTIFY_SOCKET."""

    def __init__(self, sockdir):
        self.path = sockdir / "notify.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(str(self.path))
        self.env = dict(os.environ, NOTIFY_SOCKET=str(self.path))

    def next(self):
        return self.socket.recv(4096).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def status_of(path):
    status, _, body = ask(path, "/status")
    assert status == 200
    return json.loads(body)


def test_embed_in_daemon(sockdir):
    path, pidfile, config = (sockdir / name for name in ("control.sock", "pid", "config"))
    config.write_text("interval=20\n")
    argv = [example("embed_in_daemon"), path, pidfile, config, "--foreground"]
    with Notified(sockdir) as manager:
        with Daemon(*argv, ready=f"listening on {path}", env=manager.env) as server:
            assert manager.next() == "READY=1"
            status = status_of(path)
            assert status["pid"] == server.process.pid == int(pidfile.read_text())
            assert (status["interval"], status["reloads"]) == (20, 0)
            assert status["log_level"] == "info"
            # It goes on beating beside the API.
            wait_until(lambda: status_of(path)["beats"] > status["beats"] + 3, what="beats")

            config.write_text("interval=30\n")
            assert ask(path, "/reload", "POST")[0] == 200
            assert [manager.next(), manager.next()] == ["RELOADING=1", "READY=1"]
            assert status_of(path)["interval"] == 30
            config.write_text("interval=40\n")
            server.send(signal.SIGHUP)
            wait_until(lambda: status_of(path)["interval"] == 40, what="the reload")
            assert [manager.next(), manager.next()] == ["RELOADING=1", "READY=1"]
            config.write_text("interval=never\n")
            assert ask(path, "/reload", "POST")[0] == 500
            assert (status_of(path)["interval"], status_of(path)["reloads"]) == (40, 2)
            assert [manager.next(), manager.next()] == ["RELOADING=1", "READY=1"]

            assert ask(path, "/log-level", "PUT", b"loud")[0] == 400
            assert ask(path, "/log-level", "PUT", b"debug")[0] == 200
            assert status_of(path)["log_level"] == "debug"
            server.wait_line("debug: beat")
            assert ask(path, "/status", "POST")[0] == 405

            config.write_text("interval=40\n")
            second = run(*argv[:1], sockdir / "other.sock", *argv[2:])
            assert second.returncode == 1 and "another daemon runs" in second.stderr
            server.send(signal.SIGTERM)
            server.wait(status=0)
            assert manager.next() == "STOPPING=1"
    assert not path.exists() and not pidfile.exists()


def test_embed_in_daemon_in_the_background(sockdir):
    path, pidfile, config = (sockdir / name for name in ("control.sock", "pid", "config"))
    config.write_text("interval=20\n")
    argv = [example("embed_in_daemon"), path, pidfile, config]
    before = children()
    # The daemon keeps its stderr: a pipe would not end before it.
    done = run(*argv, stderr=subprocess.DEVNULL)
    assert done.returncode == 0
    pid = int(pidfile.read_text())
    try:
        # When the parent has ended, the API is there.
        assert status_of(path)["pid"] == pid
        assert os.getsid(pid) != os.getsid(0) and os.getpgid(pid) != pid
        again = run(example("embed_in_daemon"), sockdir / "other.sock", pidfile, config)
        assert again.returncode == 1 and "another daemon runs" in again.stderr
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not pidfile.exists() and not path.exists(), what="the daemon's end")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or is_zombie(pid), what="its process")
    # What cannot start is told by the parent.
    path.mkdir()
    failed = run(*argv)
    assert failed.returncode == 1 and "control API" in failed.stderr
    # What the forks left may have become ours.
    for orphan in children() - before:
        os.waitpid(orphan, 0)


def is_zombie(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat") as stat_file:
            return stat_file.read().rpartition(")")[2].split()[0] == "Z"
    return True


# ---- many_calls ----


def counts(done):
    match = re.fullmatch(r"(\d+) answers, (\d+) errors, (\d+\.\d+) s\n", done.stdout)
    assert match, (done.stdout, done.stderr)
    return int(match[1]), int(match[2])


@pytest.mark.parametrize("args", [["3000"], ["3000", "1"], ["3", "200"], ["3000", "200"], ["1"]])
def test_many_calls(hello, args):
    done = run(example("many_calls"), hello.path, *args)
    assert (done.returncode, done.stderr) == (0, "")
    assert counts(done) == (int(args[0]), 0)


@pytest.mark.parametrize("args, flight", [([], 64), (["3"], 3), (["100"], 100)])
def test_many_calls_keeps_as_many_in_flight_as_told(sockdir, args, flight):
    """The server answers nobody before that many ask at once: four rounds."""
    barrier = threading.Barrier(flight, timeout=DEADLINE)

    def answer(handler, _):
        barrier.wait()
        handler.reply(200)

    path = sockdir / "up.sock"
    with Upstream(path, answer) as up:
        done = run(example("many_calls"), path, 4 * flight, *args)
        assert counts(done) == (4 * flight, 0)
        assert len(up.seen) == 4 * flight
        assert {(method, target) for method, target, _, _ in up.seen} == {("GET", "/")}


def test_many_calls_counts_errors(sockdir):
    done = run(example("many_calls"), sockdir / "absent.sock", "50")
    assert done.returncode == 1
    assert counts(done) == (0, 50)
    assert str(sockdir / "absent.sock") in one_line(done.stderr)

    path = sockdir / "up.sock"
    numbers = iter(range(50))
    lock = threading.Lock()

    def answer(handler, _):
        with lock:
            odd = next(numbers) % 2
        handler.reply(500 if odd else 200)

    with Upstream(path, answer):
        done = run(example("many_calls"), path, "50", "5")
    assert done.returncode == 1
    assert counts(done) == (25, 25)
    one_line(done.stderr)


@pytest.mark.parametrize("args", [[], ["s"], ["s", "0"], ["s", "x"], ["s", "1", "0"], ["s", "-1"]])
def test_many_calls_usage(args):
    done = run(example("many_calls"), *args)
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr)


# ---- errors ----

PROVOKED = {
    *["INVALID_ARGUMENT", "BAD_HANDLE", "STATE", "WOULD_DEADLOCK", "FORKED", "WOULD_BLOCK"],
    *["TIMED_OUT", "CANCELLED", "CLOSED", "SHUT_DOWN", "ABSENT", "REFUSED", "BUSY", "WRONG_TYPE"],
    *["IN_USE", "PROTOCOL", "TRUNCATED", "TOO_LARGE"],
}


def test_errors(tmp_path):
    done = run(example("errors"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UNEXPECTED" not in done.stdout
    lines = [re.fullmatch(r"(.+?)  +([A-Z_]+)  *(\S.*)", line) for line in done.stdout.splitlines()]
    assert PROVOKED <= {line[2] for line in lines if line}
    folders = re.findall(r"/tmp/hysock-errors-\w+", done.stdout)
    assert folders and not any(os.path.exists(folder) for folder in folders)


# ---- the Makefile ----


def test_examples_build_against_an_installed_library(sockdir, tmp_path):
    """A copy outside the tree finds the library by pkg-config, and runs from anywhere."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env.pop("MFLAGS", None)
    env.pop("LD_LIBRARY_PATH", None)
    prefix, copy = tmp_path / "prefix", tmp_path / "copy"
    done = run(tool("make"), "install", f"PREFIX={prefix}", cwd=ROOT, env=env, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr

    copy.mkdir()
    for source in [*(ROOT / "examples-c").glob("*.[ch]"), ROOT / "examples-c" / "Makefile"]:
        shutil.copy(source, copy)
    env["PKG_CONFIG_PATH"] = str(prefix / "lib" / "pkgconfig")
    done = run(tool("make"), "-C", copy, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (copy / "bin").iterdir() if path.name[0] != "."} == PROGRAMS

    env.pop("PKG_CONFIG_PATH")
    path = sockdir / "hello.sock"
    with Daemon(copy / "bin/hello_server", path, ready="listening", cwd="/", env=env) as server:
        with open(f"/proc/{server.pid}/maps") as maps:
            assert str(prefix / "lib" / "libhysock.so.") in maps.read()
        done = run(copy / "bin/request", path, "/", cwd="/", env=env)
    assert (done.returncode, done.stdout) == (0, "Hello, world!")


def test_examples_run_from_any_folder(sockdir):
    """In the tree too, and with a relative socket path."""
    with Daemon(
        example("hello_server"), "rel.sock", ready="listening on rel.sock", cwd=sockdir
    ):
        done = run(example("request"), "rel.sock", "/", cwd=sockdir)
        assert (done.returncode, done.stdout) == (0, "Hello, world!")


# ---- one_shot ----


def encoded(path, target=""):
    """The URL of a target on a socket."""
    return f"http+unix://{urllib.parse.quote(str(path), safe='')}{target}"


def test_one_shot(hello):
    for address in [hello.path, f"unix:{hello.path}", f"unix://{hello.path}"]:
        done = run(example("one_shot"), address)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!", "")
    done = run(example("one_shot"), encoded(hello.path, "/?a=b"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!", "")
    hexed = f"unix://{str(hello.path).encode().hex()}:0/"
    assert run(example("one_shot"), hexed).stdout == "Hello, world!"


def test_one_shot_fails_clearly(hello, sockdir):
    done = run(example("one_shot"), encoded(hello.path, "/nothing"))
    assert (done.returncode, done.stdout) == (1, "Nothing here. Try GET /\n")
    assert one_line(done.stderr) == "one_shot: HTTP status 404\n"
    done = run(example("one_shot"), "http://localhost/")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unix sockets only" in one_line(done.stderr)
    done = run(example("one_shot"), sockdir / "absent")
    assert done.returncode == 1
    assert str(sockdir / "absent") in one_line(done.stderr)
    assert run(example("one_shot")).returncode == 2


# ---- blocking_calls ----


def test_blocking_calls_use_one_connection(sockdir):
    path = sockdir / "up.sock"
    connections = set()

    def answer(handler, _):
        connections.add(id(handler))
        handler.reply(200, b"x")

    with Upstream(path, answer) as up:
        done = run(example("blocking_calls"), path, 200)
    assert done.returncode == 0
    assert re.fullmatch(r"200 answers, 0 errors, \d+\.\d+ s\n", done.stdout)
    assert [seen[:2] for seen in up.seen] == [("GET", "/")] * 200
    assert len(connections) == 1


def test_blocking_calls_count_errors(sockdir):
    path = sockdir / "up.sock"
    with Upstream(path, lambda handler, _: handler.reply(503)):
        done = run(example("blocking_calls"), path, 3)
    assert done.returncode == 1
    assert done.stdout.startswith("0 answers, 3 errors, ")
    assert "HTTP status 503" in one_line(done.stderr)
    done = run(example("blocking_calls"), sockdir / "absent", 2)
    assert done.returncode == 1
    assert str(sockdir / "absent") in one_line(done.stderr)
    for args in [[], ["s"], ["s", "x"], ["s", "1x"], ["s", "-1"]]:
        assert run(example("blocking_calls"), *args).returncode == 2


# ---- cancel ----


def test_cancel_of_a_call_that_hangs(sockdir):
    path = sockdir / "silent.sock"
    with listen(path) as sock, client("cancel", path, "/slow") as process:
        with accept(sock) as peer:
            assert read_head(peer).startswith(b"GET /slow HTTP/1.1\r\n")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=DEADLINE)
            assert peer.recv(1) == b""
    assert (process.returncode, err) == (3, "")
    assert re.fullmatch(r"cancelled after \d+ ms\n", out)


def test_cancel_not_needed(hello, sockdir):
    done = run(example("cancel"), hello.path)
    assert (done.returncode, done.stdout) == (0, "HTTP status 200, 13 bytes\n")
    done = run(example("cancel"), sockdir / "absent")
    assert done.returncode == 1
    assert str(sockdir / "absent") in one_line(done.stderr)
    assert run(example("cancel")).returncode == 2


# ---- streams ----


def test_stream_upload_counts(sockdir, tmp_path):
    path = sockdir / "up.sock"
    content = tmp_path / "content"
    content.write_bytes(b"a line\n" * 300_000 + b"and no more")
    with serve("stream_upload", path):
        for extra in [], ["-H", "Transfer-Encoding: chunked"]:
            done = run(tool("curl"), "-sS", "-T", content, "--unix-socket", path, "http://x/", *extra)
            assert done.stdout == "300000 lines, 2100011 bytes\n", done.stderr
        assert ask(path)[2] == b"0 lines, 0 bytes\n"


def test_request_streams_both_ways(sockdir, tmp_path):
    content, back = tmp_path / "content", tmp_path / "back"
    content.write_bytes(b"a line\n" * 300_000)
    up, down = sockdir / "up.sock", sockdir / "down.sock"
    with serve("stream_upload", up):
        for source in content, "-":
            with open(content) as stdin:
                done = run(example("request"), "-T", source, up, "/", stdin=stdin)
            assert (done.stdout, done.stderr) == ("300000 lines, 2100000 bytes\n", "")
        done = run(example("request"), "-T", tmp_path / "absent", up, "/")
        assert (done.returncode, done.stdout) == (1, "")
        assert "absent" in one_line(done.stderr)
    with serve("stream_download", down):
        numbers = "".join(f"{number}\n" for number in range(100_000))
        assert run(example("request"), "-N", down, "/100000").stdout == numbers
        done = run(example("request"), "-o", back, down, "/100000")
        assert (done.stdout, done.stderr, back.read_text()) == ("", "", numbers)
        done = run(example("request"), "-o", "/dev/full", down, "/100000")
        assert (done.returncode, done.stdout) == (1, "")
        assert "No space left" in one_line(done.stderr)
        # A bar, where there is a terminal for it.
        argv = [example("request"), "-o", back, down, "/100000"]
        bar = run(tool("script"), "-qec", " ".join(map(str, argv)), "/dev/null").stdout
        assert f"{len(numbers) // 1024} KiB" in bar
        assert back.read_text() == numbers


def test_stream_upload_refuses_early(sockdir, tmp_path):
    path = sockdir / "up.sock"
    content = tmp_path / "content"
    content.write_bytes(bytes(3_000_000))
    with serve("stream_upload", path, 1_000_000):
        for extra in [], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"]:
            done = run(
                *[tool("curl"), "-sS", "-T", content, "-w", "%{http_code}", *extra],
                *["--unix-socket", path, "http://x/"],
            )
            assert done.stdout == "that is too much\n413", done.stderr
        assert ask(path, "/", "POST", b"x" * 1_000_000)[0] == 200


def test_stream_upload_notices_that_the_client_left(sockdir):
    path = sockdir / "up.sock"
    with serve("stream_upload", path) as server:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        server.wait_line("after 3 bytes")


@pytest.mark.parametrize("args", [[], ["s", "x"], ["s", ""], ["s", "1", "2"]])
def test_stream_upload_usage(args):
    done = run(example("stream_upload"), *args)
    assert (done.returncode, done.stderr) == (2, "usage: stream_upload SOCKET [LIMIT]\n")


def test_stream_download(sockdir):
    path = sockdir / "down.sock"
    with serve("stream_download", path) as server:
        status, headers, body = ask(path, "/200000")
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert body == b"".join(b"%d\n" % n for n in range(200_000))
        assert ask(path, "/0")[2] == b""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(DEADLINE)
            peer.connect(str(path))
            peer.sendall(b"GET /100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.recv(1000)
        server.wait_line("ended at line")
    assert run(example("stream_download")).returncode == 2


def test_upgrade_echo(sockdir):
    path = sockdir / "echo.sock"
    with serve("upgrade_echo", path):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(DEADLINE)
            peer.connect(str(path))
            head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
            peer.sendall(head + b"early ")
            data = read_head(peer)
            assert data.startswith(b"HTTP/1.1 101 ")
            peer.sendall(b"and late ")
            peer.shutdown(socket.SHUT_WR)
            rest = data.partition(b"\r\n\r\n")[2]
            while piece := peer.recv(1000):
                rest += piece
            assert rest == b"early and late bye\n"
        status, headers, _ = ask(path)
        assert (status, headers["upgrade"]) == (426, "echo")
    assert run(example("upgrade_echo")).returncode == 2


def test_upgrade_echo_drains(sockdir):
    path = sockdir / "echo.sock"
    with serve("upgrade_echo", path) as server, socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE)
        peer.connect(str(path))
        peer.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
        )
        read_head(peer)
        server.process.terminate()
        peer.sendall(b"on and on")
        assert peer.recv(9, socket.MSG_WAITALL) == b"on and on"
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(4, socket.MSG_WAITALL) == b"bye\n"
