"""examples-c/httpd under weights: large bodies, many clients, clients that leave.

HYSOCK_ECHO_BYTES is the size of the large body: 1073741824 (1 GiB) unless it is set,
a quarter of that for chunked bodies.
"""

import concurrent.futures
import contextlib
import os
import random
import resource
import selectors
import time

import pytest
from conftest import wait_until
from httpd import DELIVERIES, Httpd, httpd
from peers import HELLO, UnixConnection

MIB = 1 << 20
ECHO_BYTES = int(os.environ.get("HYSOCK_ECHO_BYTES", 1024 * MIB))


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slow_echo(httpd, size, chunked):
    """Sends `size` bytes to /echo as fast as they are taken and reads them slowly.

    Returns the most resident memory that httpd had on the way. What comes back must be what was
    sent: the same block again and again, whose length divides no buffer's.
    """
    block = random.Random(7).randbytes(MIB - 1)
    twice = block + block
    size -= size % len(block)
    most = 0

    def send():
        for _ in range(size // len(block)):
            if chunked:
                client.send(b"%x\r\n%s\r\n" % (len(block), block))
            else:
                client.send(block)
        if chunked:
            client.send(b"0\r\n\r\n")

    with contextlib.closing(UnixConnection(httpd.path)) as client, (
        concurrent.futures.ThreadPoolExecutor(1)
    ) as pool:
        client.timeout = 60
        client.putrequest("POST", "/echo")
        if chunked:
            client.putheader("Transfer-Encoding", "chunked")
        else:
            client.putheader("Content-Length", str(size))
        client.endheaders()
        sending = pool.submit(send)
        answer = client.getresponse()
        assert answer.status == 200
        got = looks = 0
        while got < size:
            piece = answer.read(min(size - got, len(block)))
            assert piece, f"{size - got} bytes are missing"
            at = got % len(block)
            assert piece == twice[at : at + len(piece)], f"other bytes after {got}"
            got += len(piece)
            most = max(most, httpd.rss())
            looks += 1
            time.sleep(0.002)  # the sender is always ahead: all buffers are full
        assert answer.read() == b""
        sending.result(60)
    assert looks >= 50
    return most


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_echo_of_much_to_a_slow_client(httpd, chunked):
    """Memory is bounded by what is between reading and writing, not by the body."""
    httpd.ask("/echo", "POST", b"x" * 100_000)  # what is allocated once
    before = httpd.rss()
    size = ECHO_BYTES // 4 if chunked else ECHO_BYTES
    assert slow_echo(httpd, size, chunked) - before <= 8 * MIB


def test_download_of_much_by_many(httpd):
    """The same for what is made here, and for files."""
    (httpd.root / "file").write_bytes(bytes(MIB))
    httpd.ask("/bytes/1000000")
    before = httpd.rss()

    def download(number):
        target = "/files/file" if number % 2 else "/bytes/30000000"
        with contextlib.closing(UnixConnection(httpd.path)) as client:
            client.request("GET", target)
            answer = client.getresponse()
            most = size = 0
            while piece := answer.read(MIB):
                size += len(piece)
                most = max(most, httpd.rss())
            assert size == (MIB if number % 2 else 30_000_000)
            return most

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert max(pool.map(download, range(32))) - before <= 16 * MIB


def test_thousand_clients_of_events(httpd, many_descriptors):
    """All at once; each sees all its events, in order."""
    clients, count = 1000, 6
    expected = b"".join(
        b'event: tick\nid: %d\ndata: {"n":%d}\n\n' % (number, number) for number in range(count)
    )
    seen = {}
    ended = set()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(clients):
            client = stack.enter_context(httpd.connect())
            client.sendall(b"GET /events/6?interval_ms=1000 HTTP/1.0\r\n\r\n")
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ)
            seen[client] = b""
        assert httpd.metrics()["hysock_server_connections_open"] == clients + 1
        end = time.monotonic() + 60
        while len(ended) < clients:
            assert time.monotonic() < end, f"{clients - len(ended)} have not ended"
            for key, _ in selector.select(1):
                piece = key.fileobj.recv(1 << 16)
                seen[key.fileobj] += piece
                if not piece:
                    ended.add(key.fileobj)
                    selector.unregister(key.fileobj)
    wrong = [text for text in seen.values() if text.partition(b"\r\n\r\n")[2] != expected]
    assert not wrong, (len(wrong), wrong[0])
    httpd.idle()


BODY = b"0123456789" * 3000
REQUESTS = [
    b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (len(BODY), BODY),
    b"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    b"GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    b"GET /bytes/1000000 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /files/file HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /slow/40 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /events/20?interval_ms=5 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello",
    b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\nGET /absent HTTP/1.1\r\nHost: x\r\n\r\n",
]


def leave_somewhere(httpd, seed, count):
    """`count` connections, each of which hangs up at a random byte: while it sends its request, or
    after some part of the answer, read to that byte or not."""

    def one(number):
        chance = random.Random(seed * count + number)
        request = REQUESTS[number % len(REQUESTS)]
        upto = chance.randrange(len(request) + 1) if chance.random() < 0.5 else len(request)
        wanted = chance.choice([0, 1, 10, 100, 1000, 30000, 300000])
        with httpd.connect() as client:
            client.settimeout(0.25)  # of some requests there is no more to come
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                client.sendall(request[:upto])
                while wanted > 0 and (piece := client.recv(min(wanted, 1 << 16))):
                    wanted -= len(piece)

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(one, range(count)))


def answered(counts):
    """How many requests have come to an end, one way or the other."""
    classes = (counts[f'hysock_server_answers_total{{class="{n}xx"}}'] for n in range(1, 6))
    return sum(classes) + counts["hysock_server_requests_unanswered_total"]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_two_thousand_clients_that_leave(sockdir, delivery, many_descriptors):
    """No descriptor, no memory, no exchange stays behind; each ends once."""
    (sockdir / "root").mkdir()
    (sockdir / "root" / "file").write_bytes(bytes(range(256)) * 4096)
    log = sockdir / "log"
    options = ["--root", sockdir / "root", "--access-log", log]
    with Httpd(sockdir / "s", *options, delivery=delivery) as httpd:
        leave_somewhere(httpd, 1, 1000)  # what is allocated once
        before = httpd.idle()
        descriptors, rss = httpd.descriptors(), httpd.rss()
        leave_somewhere(httpd, 2, 2000)
        after = httpd.idle()
        wait_until(lambda: httpd.descriptors() <= descriptors)
        assert httpd.rss() - rss <= 2 * MIB

        def grown(name):
            return after[name] - before[name]

        assert grown("hysock_server_connections_total") >= 2000
        assert grown("hysock_server_requests_total") >= 1000
        assert grown("hysock_server_requests_unanswered_total") >= 100, "nobody left too early"
        assert grown("hysock_server_requests_total") == answered(after) - answered(before)
        assert httpd.ask()[2] == HELLO

        def each_is_in_the_log_once():
            counts = httpd.metrics()
            lines = log.read_text().count("\n") + counts["hysock_server_access_dropped_total"]
            return lines == counts["hysock_server_requests_total"]

        wait_until(each_is_in_the_log_once)


def test_early_413_to_http_client(httpd):
    body = b"x" * 20 * 1000 * 1000
    for number in range(20):
        status, headers, text = httpd.ask("/hello", body=body)
        assert (status, headers["connection"]) == (413, "close"), number
        assert text


def test_early_413_to_curl(httpd, sockdir):
    (sockdir / "body").write_bytes(b"x" * 20 * 1000 * 1000)
    for expect in ("Expect:", "Expect: 100-continue") * 10:
        form = ["-X", "GET", "-H", expect, "--data-binary", f"@{sockdir}/body"]
        out = httpd.curl(*form, "-w", "%{http_code}", "http://localhost/hello")
        assert out.endswith(b"413"), out


def test_early_403_while_20_mb_are_sent(sockdir):
    (sockdir / "body").write_bytes(b"x" * 20 * 1000 * 1000)
    body = (sockdir / "body").read_bytes()
    with Httpd(sockdir / "s", "--allow-uid", "4294967294") as server:
        for _ in range(20):
            assert server.ask("/echo", "POST", body)[0] == 403
            form = ["-H", "Expect:", "--data-binary", f"@{sockdir}/body", "-w", "%{http_code}"]
            assert server.curl(*form, "http://localhost/echo").endswith(b"403")
