"""Bodies piece by piece, files and upgrades, with curl and Python at the other end."""

import contextlib
import hashlib
import http.client
import os
import re
import socket
import threading
import time

import pytest
from conftest import DEADLINE, ROOT, run, tool, wait_until
from peers import UnixConnection

MIB = 1 << 20
# The slow echo is of this size; the promise is made for 1 GiB.
SLOW_MIB = int(os.environ.get("HYSOCK_SLOW_ECHO_MIB", "256"))
DELIVERIES = ["pool", "inline", "queue"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """stream_server, compiled against the library in the tree."""
    out = tmp_path_factory.mktemp("streams") / "stream_server"
    done = run(
        *[tool("cc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"],
        *[f"-I{ROOT}/include", ROOT / "tests" / "interop" / "stream_server.c", "-o", out],
        *[f"-L{ROOT}/build", f"-Wl,-rpath,{ROOT}/build", "-lhysock", "-pthread"],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def content(tmp_path):
    """A file of random bytes, larger than all buffers on its way."""
    path = tmp_path / "content"
    path.write_bytes(os.urandom(5 * MIB + 123))
    return path


@pytest.fixture
def serve(program, daemon, sockdir, content):
    def start(delivery="pool", *options):
        path = sockdir / f"s{len(list(sockdir.iterdir()))}"
        server = daemon(program, path, delivery, content, *options, ready=f"listening on {path}")
        server.path = str(path)
        return server

    return start


def connect(server):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE)
    connection.connect(server.path)
    return connection


def curl(server, target, *options, timeout=60, **more):
    command = [tool("curl"), "-sS", "--max-time", timeout, "--unix-socket", server.path, *options]
    return run(*command, f"http://localhost{target}", timeout=timeout + 5, **more)


def fnv(data):
    total = 0xCBF29CE484222325
    for byte in data:
        total = (total ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, f"the server closed after {data!r}"
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def memory(pid, field="VmRSS"):
    """In KiB."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"{field}:\s+(\d+) kB", status.read())[1])


# ---- echo ----


class Pieces:
    """An endless-looking body that is never in memory as a whole."""

    def __init__(self, pieces, size=128 * 1024):
        self.piece = os.urandom(size)
        self.pieces = pieces
        self.length = pieces * size

    def __iter__(self):
        return (self.piece for _ in range(self.pieces))

    def digest(self):
        whole = hashlib.blake2b()
        for piece in self:
            whole.update(piece)
        return whole.hexdigest()


def echo(server, body, chunked):
    """Sends `body` and reads the echo at the same time; the digest of what came back."""
    connection = connect(server)
    failures = []

    def send():
        try:
            for piece in body:
                if chunked:
                    connection.sendall(b"%x\r\n" % len(piece))
                connection.sendall(piece)
                if chunked:
                    connection.sendall(b"\r\n")
            if chunked:
                connection.sendall(b"0\r\n\r\n")
        except OSError as error:
            failures.append(error)

    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % body.length
    connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % framing)
    sender = threading.Thread(target=send)
    sender.start()
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    assert (answer.getheader("transfer-encoding") == "chunked") == chunked
    whole = hashlib.blake2b()
    while piece := answer.read(MIB):
        whole.update(piece)
    sender.join(DEADLINE)
    assert not sender.is_alive()
    assert not failures
    connection.close()
    return whole.hexdigest()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_echo(serve, delivery, chunked):
    server = serve(delivery)
    body = Pieces(2048 if delivery == "pool" else 256)
    assert echo(server, body, chunked) == body.digest()


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_echo_with_curl(serve, content, tmp_path, delivery):
    server = serve(delivery)
    for extra in [], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["-0"]:
        back = tmp_path / "back"
        done = curl(server, "/echo", "-X", "POST", "-T", content, "-o", back, *extra)
        assert done.returncode == 0, done.stderr
        assert back.read_bytes() == content.read_bytes()


def test_many_echoes_over_one_connection(serve):
    server = serve()
    connection = UnixConnection(server.path)
    for size in (0, 1, 1000, 65536, 200_000):
        for chunked in False, True:
            body = os.urandom(size)
            data = iter([body]) if chunked and body else body
            connection.request("POST", "/echo", body=data, encode_chunked=False)
            answer = connection.getresponse()
            assert answer.read() == body
    assert connection.connected == 1
    connection.close()


def test_a_slow_client_costs_no_memory(serve):
    """An eager sender that reads slowly: what it has not read yet waits on its own side."""
    server = serve()
    body = Pieces(SLOW_MIB * 8)
    warm = Pieces(64)
    assert echo(server, warm, True) == warm.digest()
    before = memory(server.pid)
    with open(f"/proc/{server.pid}/clear_refs", "w") as clear:
        clear.write("5")  # VmHWM begins anew
    connection = connect(server)
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % body.length
    sent = 0

    def send():
        nonlocal sent
        connection.sendall(head)
        for piece in body:
            connection.sendall(piece)
            sent += len(piece)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    _, rest = read_head(connection)
    received = len(rest)
    ahead = 0
    buffer = bytearray(256 * 1024)
    pause = 0
    while received < body.length:
        if received >= pause:
            time.sleep(0.1)  # the slow part: everything on the way fills up
            ahead = max(ahead, sent - received)
            pause += 32 * MIB
        n = connection.recv_into(buffer)
        assert n, "the echo ended early"
        received += n
    sender.join(DEADLINE)
    grown = memory(server.pid, "VmHWM") - before
    connection.close()
    assert received == body.length
    print(f"{grown} KiB more, {ahead} bytes on the way")
    assert grown <= 8 * 1024, f"{grown} KiB more than before"
    assert 0 < ahead <= 2 * MIB, f"{ahead} bytes on the way"


# ---- reading alone ----


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_digest(serve, delivery):
    server = serve(delivery)
    body = os.urandom(300_000)
    connection = UnixConnection(server.path)
    for data in body, iter([body[:1000], body[1000:]]):
        connection.request("POST", "/digest", body=data)
        assert connection.getresponse().read().decode() == f"{len(body)} {fnv(body)}"
    connection.close()


def test_expect_is_answered_when_the_handler_reads(serve):
    server = serve()
    with connect(server) as connection:
        connection.sendall(
            b"POST /lazy HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        began = time.monotonic()
        head, _ = read_head(connection)
        assert head == b"HTTP/1.1 100 Continue"
        assert time.monotonic() - began > 0.8
        connection.sendall(b"ab")
        head, rest = read_head(connection)
        assert head.startswith(b"HTTP/1.1 200")
    with connect(server) as connection:
        connection.sendall(
            b"POST /never HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        head, _ = read_head(connection)
        assert head.startswith(b"HTTP/1.1 403")


def test_a_handler_that_does_not_read_times_nobody_out(serve):
    """Progress is only owed while somebody waits for it."""
    server = serve("pool", "progress=300")
    body = os.urandom(3 * MIB)
    connection = UnixConnection(server.path)
    connection.request("POST", "/lazy", body=body)  # more than the buffers hold: it waits
    assert connection.getresponse().read().decode() == f"{len(body)} {fnv(body)}"
    connection.close()


def test_a_client_that_owes_a_piece_is_timed_out(serve):
    server = serve("pool", "progress=300")
    with connect(server) as connection:
        connection.sendall(b"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        assert connection.recv(1) == b""
    server.wait_line("digest the peer ended in the middle of a message 3")


def test_a_client_that_does_not_read_is_timed_out(serve):
    server = serve("pool", "progress=300")
    with connect(server) as connection:
        connection.sendall(b"GET /bytes/100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_line("write the peer is gone")


def test_a_slow_reader_that_lives_is_left_alone(serve):
    # The kernel tells what was read in steps of up to 37 KB.
    server = serve("pool", "progress=2000")
    with connect(server) as connection:
        connection.sendall(b"GET /bytes/600000 HTTP/1.1\r\nHost: x\r\n\r\n")
        received = 0
        for _ in range(50):
            received += len(connection.recv(5000))
            time.sleep(0.1)
        while piece := connection.recv(65536):
            received += len(piece)
            if received >= 600_000:
                break
        assert received > 600_000


def test_the_handlers_time_counts_from_its_last_piece(serve):
    server = serve("pool", "handler=500")
    with connect(server) as connection:
        connection.sendall(b"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.1)  # the client's time, not the handler's
            connection.sendall(b"x")
        head, _ = read_head(connection)
        assert head.startswith(b"HTTP/1.1 200")
    with connect(server) as connection:
        connection.sendall(b"POST /lazy HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        head, _ = read_head(connection)
        assert head.startswith(b"HTTP/1.1 503")
    server.wait_line("digest the peer is gone 0")


@pytest.mark.parametrize("target", ["/never", "/first"])
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_an_early_answer_reaches_a_client_that_is_still_sending(serve, delivery, target):
    server = serve(delivery)
    body = bytes(20 * MIB)
    for _ in range(20):
        connection = UnixConnection(server.path)
        with contextlib.suppress(BrokenPipeError):
            connection.request("POST", target, body=body)
        answer = connection.getresponse()
        assert answer.status == (403 if target == "/never" else 200)
        assert answer.getheader("connection") == "close"
        assert len(answer.read()) in (2, 5)
        connection.close()


def test_an_early_answer_reaches_curl(serve, tmp_path):
    server = serve()
    large = tmp_path / "large"
    large.write_bytes(bytes(20 * MIB))
    for _ in range(20):
        options = ["-X", "POST", "-T", large, "-w", "%{http_code}", "-H", "Expect:"]
        done = curl(server, "/never", *options)
        assert done.stdout == "no403", done.stderr


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"Content-Length: 10\r\n\r\nabc", "the peer ended in the middle of a message"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "the peer ended in the middle of a message"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab", "the peer broke the protocol"),
    ],
)
def test_bodies_that_break_off(serve, body, what):
    """A client that only ends its sending side still gets no whole answer out of half a body."""
    server = serve()
    with connect(server) as connection:
        connection.sendall(b"POST /digest HTTP/1.1\r\nHost: x\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    server.wait_line(f"digest {what}")


# ---- writing alone ----


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_lines_and_bytes(serve, delivery):
    server = serve(delivery)
    done = curl(server, "/lines/300000", "--compressed")
    assert done.stdout.splitlines() == [str(n) for n in range(300_000)]
    done = curl(server, "/bytes/1000003", text=False)
    assert done.stdout == bytes(n % 251 for n in range(1_000_003))
    for old in "/lines/1000", "/bytes/1000":
        done = curl(server, old, "-0", "-D", "-", "-o", os.devnull)
        assert done.returncode == 0, done.stderr
        assert "chunked" not in done.stdout
    done = curl(server, "/bytes/1000", "-I")
    assert "content-length: 1000" in done.stdout.lower()


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_clients_that_leave_at_any_byte(serve, delivery):
    """Each exchange ends once, and nothing is left behind."""
    server = serve(delivery)
    assert curl(server, "/lines/1").stdout == "0\n"
    descriptors = f"/proc/{server.pid}/fd"
    before = len(os.listdir(descriptors))
    targets = [b"/bytes/400000", b"/lines/80000", b"/file", b"/echo"]
    for number in range(400):
        with connect(server) as connection:
            target = targets[number % 4]
            connection.sendall(
                b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" % target
                if target == b"/echo"
                else b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target
            )
            if target == b"/echo":
                connection.sendall(bytes(1 + number * 37 % 5000))
            left = number * 7919 % 350_000
            while left > 0 and (piece := connection.recv(min(left, 65536))):
                left -= len(piece)
                if target == b"/echo":
                    break
    wait_until(lambda: len(os.listdir(descriptors)) <= before, what="descriptors are closed")
    assert curl(server, "/lines/3").stdout == "0\n1\n2\n"


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_events(serve, delivery):
    server = serve(delivery)
    connection = UnixConnection(server.path)
    connection.request("GET", "/events/20")
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/event-stream"
    assert answer.getheader("cache-control") == "no-store"
    expected = [f"event: tick\ndata: number\ndata: {n}" for n in range(20)]
    assert answer.read().decode().strip("\n").split("\n\n") == expected
    connection.close()


def test_a_thousand_clients_of_events(serve):
    server = serve()
    connections = [connect(server) for _ in range(1000)]
    for connection in connections:
        connection.sendall(b"GET /events/5 HTTP/1.0\r\n\r\n")
    for connection in connections:
        data = b""
        while piece := connection.recv(65536):
            data += piece
        assert data.count(b"event: tick") == 5
        connection.close()


def test_trailers_are_for_those_who_ask(serve):
    server = serve()
    with connect(server) as connection:
        for asked in b"TE: trailers\r\n", b"":
            connection.sendall(b"GET /trailer HTTP/1.1\r\nHost: x\r\n%s\r\n" % asked)
            head, rest = read_head(connection)
            assert b"trailer: x-count" in head
            end = b"0\r\nx-count: 5\r\n\r\n" if asked else b"0\r\n\r\n"
            while not rest.endswith(b"\r\n\r\n"):
                rest += connection.recv(65536)
            assert rest == b"5\r\nhello\r\n" + end
    done = curl(server, "/trailer", "-H", "TE: trailers", "-D", "-", "-o", os.devnull)
    assert "x-count: 5" in done.stdout


# ---- files ----


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_files_with_curl(serve, content, tmp_path, delivery):
    server = serve(delivery)
    whole = content.read_bytes()
    copy = tmp_path / "copy"
    done = curl(server, "/file", "-o", copy, "-D", "-")
    assert copy.read_bytes() == whole
    etag = re.search(r"(?i)etag: (\S+)", done.stdout)[1]
    modified = re.search(r"(?i)last-modified: (.*)", done.stdout)[1].strip()
    # Half of it is here already: curl asks for the rest.
    copy.write_bytes(whole[: MIB + 1])
    done = curl(server, "/file", "-C", "-", "-o", copy, "-w", "%{http_code}")
    assert done.stdout == "206", done.stderr
    assert copy.read_bytes() == whole
    done = curl(server, "/file", "-r", "-1000", text=False)
    assert done.stdout == whole[-1000:]
    done = curl(server, "/file", "-r", "10-19", text=False)
    assert done.stdout == whole[10:20]
    for condition in (f"If-None-Match: {etag}", f"If-Modified-Since: {modified}"):
        done = curl(server, "/file", "-H", condition, "-w", "%{http_code} %{size_download}")
        assert done.stdout == "304 0"
    done = curl(server, "/file", "-z", modified, "-w", "%{http_code}", "-o", copy)
    assert done.stdout == "304"
    done = curl(server, "/file", "-r", "99999999-", "-i")
    assert "416" in done.stdout
    assert f"bytes */{len(whole)}" in done.stdout
    done = curl(server, "/file", "-I")
    assert f"content-length: {len(whole)}" in done.stdout.lower()


def test_a_file_in_many_parts_over_one_connection(serve, content):
    server = serve()
    whole = content.read_bytes()
    connection = UnixConnection(server.path)
    etag = None
    for first in range(0, len(whole), 700_001):
        headers = {"Range": f"bytes={first}-{first + 700_000}"}
        if etag:
            headers["If-Range"] = etag
        connection.request("GET", "/file", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 206
        etag = answer.getheader("etag")
        assert answer.read() == whole[first : first + 700_001]
    assert connection.connected == 1
    content.write_bytes(whole[::-1])
    connection.request("GET", "/file", headers={"Range": "bytes=0-9", "If-Range": etag})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read() == whole[::-1]
    connection.close()


# ---- upgrade ----


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_upgrade(serve, delivery):
    server = serve(delivery)
    with connect(server) as connection:
        connection.sendall(
            b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
            b"Upgrade: other, echo\r\n\r\nearly"
        )
        head, rest = read_head(connection)
        assert head.startswith(b"HTTP/1.1 101")
        body = os.urandom(3 * MIB)
        sender = threading.Thread(
            target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR))
        )
        sender.start()
        received = bytearray(rest)
        while piece := connection.recv(65536):
            received += piece
        sender.join(DEADLINE)
        assert bytes(received) == b"early" + body + b"bye"
    done = curl(server, "/upgrade", "-w", "%{http_code}")
    assert done.stdout.endswith("426")


def test_the_drain_waits_for_a_session(serve):
    server = serve()
    with connect(server) as connection:
        connection.sendall(
            b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
        )
        read_head(connection)
        server.process.terminate()
        connection.sendall(b"still here")
        data = b""
        while len(data) < 10:
            data += connection.recv(100)
        assert data == b"still here"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"bye"
    server.wait()
