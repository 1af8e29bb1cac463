"""Bodies of any length and upgraded connections of examples-c/httpd, in both deliveries."""

import concurrent.futures
import contextlib
import json
import os
import socket

import pytest
from httpd import httpd, read_all
from peers import HELLO, UnixConnection


def bytes_mod_251(count):
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def fnv1a64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


# Bodies of any length


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW", "GET"])
@pytest.mark.parametrize("size", [0, 1, 65536])
def test_echo(httpd, method, size):
    body = os.urandom(size)
    status, headers, back = httpd.ask("/echo", method, body, {"Content-Type": "a/b; c=d"})
    assert (status, headers["content-type"]) == (200, "a/b; c=d")
    assert back == body
    assert headers["content-length"] == str(size), "the length was known"


@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Transfer-Encoding: chunked"])
def test_echo_to_curl(httpd, sockdir, framing):
    """More than all buffers hold: curl reads while it sends, as a client must here."""
    body = os.urandom(3_000_000)
    (sockdir / "body").write_bytes(body)
    form = ["-H", "Expect:", "-H", framing, "--data-binary", f"@{sockdir}/body"]
    assert httpd.curl(*form, "http://localhost/echo") == body


def test_echo_of_chunks(httpd):
    pieces = [os.urandom(size) for size in range(1, 700, 7)]
    with contextlib.closing(UnixConnection(httpd.path)) as client:
        for _ in range(3):
            client.request("POST", "/echo", iter(pieces), encode_chunked=True)
            answer = client.getresponse()
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.headers["content-type"] is None
            assert (answer.status, answer.read()) == (200, b"".join(pieces))
        assert client.connected == 1


def test_echo_of_nothing(httpd):
    status, headers, body = httpd.ask("/echo")
    assert (status, body) == (200, b"")
    status, _, body = httpd.ask("/echo", "HEAD")
    assert (status, body) == (200, b"")


def test_echo_comes_while_it_is_sent(httpd):
    """Each piece comes back before the next one is sent: nothing waits for the body's end."""
    with httpd.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")
        seen = b""
        for number in range(50):
            client.sendall(b"piece %04d" % number)
            while not seen.endswith(b"piece %04d" % number):
                seen += client.recv(4096)
        assert seen.count(b"piece ") == 50


def test_echo_of_a_body_that_stops_early(httpd):
    """The client must see that the answer is not whole."""
    for framing in (b"Content-Length: 1000\r\n\r\n0", b"Transfer-Encoding: chunked\r\n\r\na\r\n0"):
        answer = httpd.raw(b"POST /echo HTTP/1.1\r\nHost: x\r\n" + framing)
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"chunked" in head:
            assert not body.endswith(b"0\r\n\r\n"), answer
        else:
            assert len(body) < 1000, answer
    httpd.idle()


def test_echo_with_expect(httpd, sockdir):
    body = os.urandom(300_000)
    (sockdir / "body").write_bytes(body)
    expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "50"]
    assert httpd.curl(*expect, "--data-binary", f"@{sockdir}/body", "http://localhost/echo") == body


@pytest.mark.parametrize(
    "data, value",
    [(b"", "cbf29ce484222325"), (b"a", "af63dc4c8601ec8c"), (b"foobar", "85944171f73967e8")],
)
def test_digest(httpd, data, value):
    status, headers, body = httpd.ask("/digest", "POST", data)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"bytes": len(data), "fnv1a64": value}


def test_digest_of_more_than_a_collected_body_may_have(httpd):
    data = os.urandom(2_500_000)
    expected = {"bytes": len(data), "fnv1a64": f"{fnv1a64(data):016x}"}
    assert json.loads(httpd.ask("/digest", "POST", data)[2]) == expected
    chunks = (data[at : at + 77777] for at in range(0, len(data), 77777))
    assert json.loads(httpd.ask("/digest", "POST", chunks)[2]) == expected


@pytest.mark.parametrize("count", [0, 1, 250, 251, 252, 16063, 16064, 16065, 65536, 5_000_003])
def test_bytes(httpd, count):
    status, headers, body = httpd.ask(f"/bytes/{count}")
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert headers["transfer-encoding"] == "chunked"
    assert body == bytes_mod_251(count)


def test_bytes_to_http_1_0_until_the_close(httpd):
    head, _, body = httpd.raw(b"GET /bytes/70000 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == bytes_mod_251(70000)


def test_bytes_head(httpd):
    status, _, body = httpd.ask("/bytes/18446744073709551615", "HEAD")
    assert (status, body) == (200, b"")


def test_bytes_without_end_and_the_client_leaves(httpd):
    for _ in range(5):
        with contextlib.closing(UnixConnection(httpd.path)) as client:
            client.request("GET", "/bytes/18446744073709551615")
            assert client.getresponse().read(1_000_000) == bytes_mod_251(1_000_000)
    httpd.idle()


def test_slow_readers_leave_room_for_others(httpd):
    """More readers that do not read than there are threads."""
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            client = stack.enter_context(httpd.connect())
            client.sendall(b"GET /bytes/100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(10)
        for _ in range(20):
            assert httpd.ask("/hello")[2] == HELLO
    httpd.idle()


# Upgrade

ASK = b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def read_until(connection, mark):
    """(everything up to and with the mark, what came behind it)."""
    seen = b""
    while mark not in seen:
        piece = connection.recv(1 << 16)
        assert piece, seen
        seen += piece
    head, _, rest = seen.partition(mark)
    return head + mark, rest


def test_upgrade(httpd):
    data = os.urandom(3_000_000)
    with httpd.connect() as client:
        client.sendall(ASK + data[:1000])  # the session's first bytes come with the request
        head, back = read_until(client, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"upgrade: echo\r\n" in head.lower() and b"connection: upgrade\r\n" in head.lower()

        def send():
            client.sendall(data[1000:])
            client.shutdown(socket.SHUT_WR)

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            back += read_all(client)
            sending.result()
        assert back == data
    httpd.idle()


def test_upgrade_sessions_side_by_side(httpd):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpd.connect()) for _ in range(30)]
        for client in clients:
            client.sendall(ASK)
            read_until(client, b"\r\n\r\n")
        for number, client in enumerate(clients):
            client.sendall(b"line %d\n" % number)
        for number, client in enumerate(clients):
            assert read_until(client, b"\n") == (b"line %d\n" % number, b"")
        assert httpd.ask("/hello")[2] == HELLO
    httpd.idle()


def test_no_upgrade_asked(httpd):
    for headers in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}, {"Upgrade": "echo"}):
        status, answer, _ = httpd.ask("/upgrade", headers=headers)
        assert (status, answer["upgrade"]) == (426, "echo"), headers


# Clients of all kinds on one connection


def test_everything_on_one_connection(httpd):
    (httpd.root / "f").write_bytes(b"file")
    with contextlib.closing(UnixConnection(httpd.path)) as client:
        for _ in range(10):
            for method, target, body, expected in [
                ("GET", "/hello", None, HELLO),
                ("POST", "/echo", b"abc", b"abc"),
                ("GET", "/bytes/1000", None, bytes_mod_251(1000)),
                ("POST", "/digest", b"a", b'{"bytes":1,"fnv1a64":"af63dc4c8601ec8c"}\n'),
                ("GET", "/files/f", None, b"file"),
                ("HEAD", "/files/f", None, b""),
                ("GET", "/events/0", None, b""),
                ("GET", "/items/x", None, b'{"id":"x"}\n'),
            ]:
                client.request(method, target, body)
                answer = client.getresponse()
                assert (answer.status, answer.read()) == (200, expected), target
        assert client.connected == 1


def test_pipelined(httpd):
    one = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    two = b"GET /bytes/3 HTTP/1.1\r\nHost: x\r\n\r\nGET /slow/20 HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = httpd.raw((one + two) * 20)
    assert answer.count(b"HTTP/1.1 200 OK") == 60
    assert answer.count(b"\r\n\r\nabc") == 20
