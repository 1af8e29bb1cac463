"""examples-c/httpd, route by route, in both deliveries."""

import concurrent.futures
import grp
import json
import os
import re
import time

import pytest
from conftest import tool
from httpd import as_nobody, httpd
from peers import HELLO

# Answers at once


@pytest.mark.parametrize("target", ["/", "/hello", "/hello?a=b"])
def test_hello(httpd, target):
    status, headers, body = httpd.ask(target)
    assert (status, headers["content-type"], body) == (200, "text/plain", HELLO)


def test_head_options_405_404(httpd):
    status, headers, body = httpd.ask("/hello", "HEAD")
    assert (status, headers["content-length"], body) == (200, "13", b"")
    status, headers, body = httpd.ask("/hello", "OPTIONS")
    assert (status, body) == (204, b"")
    assert {"GET", "HEAD"} <= set(re.split(", *", headers["allow"]))
    status, headers, _ = httpd.ask("/digest", "GET")
    assert status == 405 and "POST" in headers["allow"]
    assert httpd.ask("/hello", "POST", b"x")[0] == 405
    for target in ("/absent", "/hello/", "/items/", "/items/a/b", "/bytes/", "/slow/", "/Hello"):
        assert httpd.ask(target)[0] == 404, target


def test_trace_is_refused_before_any_handler(httpd):
    assert httpd.ask("/echo", "TRACE")[0] == 501


def test_request_id_comes_back_on_every_answer(httpd):
    for target in ("/hello", "/absent", "/bytes/300", "/slow/1", "/events/0"):
        _, headers, _ = httpd.ask(target, headers={"X-Request-Id": "a b=7"})
        assert headers.get_all("x-request-id") == ["a b=7"], target
        assert httpd.ask(target)[1]["x-request-id"] is None


@pytest.mark.parametrize(
    "raw, decoded",
    [
        ("7", "7"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2Fb", "a/b"),
        ("%2e%2e", ".."),
        ("%22%5c%0a%7f", '"\\\n\x7f'),
        ("%C3%A9%E2%82%AC%F0%9F%98%80", "é€😀"),
        ("%ff%C3%28%ED%A0%80", "\ufffd\ufffd(\ufffd\ufffd\ufffd"),
        ("%00x", "\0x"),
        ("%zz%4", "%zz%4"),
    ],
)
def test_items(httpd, raw, decoded):
    status, headers, body = httpd.ask(f"/items/{raw}")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"id": decoded}


def test_headers(httpd):
    lines = b'Host: x\r\nB: 1\r\nA: "\\\r\nb:  2 \r\nU: \xc3\xa9\r\nL: \xe9\r\n'
    answer = httpd.raw(b"GET /headers HTTP/1.1\r\n" + lines + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    listed = json.loads(body)
    assert sorted(listed) == sorted(
        [["host", "x"], ["b", "1"], ["b", "2"], ["a", '"\\'], ["u", "é"], ["l", "\ufffd"]]
    )
    assert listed.index(["b", "1"]) < listed.index(["b", "2"])


def test_peer(httpd):
    status, headers, body = httpd.ask("/peer")
    assert (status, headers["content-type"]) == (200, "application/json")
    peer = json.loads(body)
    assert (peer["uid"], peer["gid"], peer["pid"]) == (os.getuid(), os.getgid(), os.getpid())
    assert set(peer["groups"]) == set(os.getgroups())


def test_peer_is_another_user(httpd):
    peer = json.loads(httpd.curl("http://localhost/peer", prefix=as_nobody()))
    assert (peer["uid"], peer["gid"], peer["groups"]) == (65534, 65534, [])


def test_peer_groups(httpd):
    groups = sorted(group.gr_gid for group in grp.getgrall())[-2:]
    setpriv = [tool("setpriv"), f"--groups={','.join(map(str, groups))}"]
    sudo = [] if os.getuid() == 0 else [tool("sudo"), "-n"]
    peer = json.loads(httpd.curl("http://localhost/peer", prefix=[*sudo, *setpriv]))
    assert sorted(peer["groups"]) == groups


def test_admin(httpd):
    assert httpd.ask("/admin")[0] == 200
    code = ["-o", "/dev/null", "-w", "%{http_code}", "http://localhost/admin"]
    assert httpd.curl(*code, prefix=as_nobody()) == b"403"
    # The rule is the route's alone.
    assert httpd.curl("http://localhost/hello", prefix=as_nobody()) == HELLO


def test_metrics(httpd):
    before = httpd.metrics()
    for _ in range(5):
        httpd.ask("/hello")
    httpd.ask("/absent")
    after = httpd.metrics()

    def grown(name):
        return after[name] - before[name]

    assert grown("hysock_server_requests_total") == 7  # and the second look itself
    assert grown('hysock_server_answers_total{class="4xx"}') == 1
    assert grown('hysock_server_answers_total{class="2xx"}') == 6


# Answers by the clock


def test_slow(httpd):
    for ms in (0, 1, 300):
        begin = time.monotonic()
        status, _, body = httpd.ask(f"/slow/{ms}")
        took = time.monotonic() - begin
        assert status == 200 and body
        assert ms / 1000 <= took < ms / 1000 + 5


@pytest.mark.parametrize(
    "target",
    ["/slow/x", "/slow/-1", "/slow/1.5", "/slow/%20", "/slow/3600001", "/slow/" + "9" * 40]
    + ["/bytes/x", "/bytes/-1", "/bytes/0x10", "/bytes/18446744073709551616", "/bytes/1%00"]
    + ["/events/x", "/events/-1", "/events/" + "9" * 21]
    + [f"/events/1?interval_ms={bad}" for bad in ("", "0", "-1", "x", "3600001", "1&")][:-1],
)
def test_bad_numbers_are_400(httpd, target):
    status, _, body = httpd.ask(target)
    assert status == 400, target
    assert b"a number" in body, "does not say what is wrong"


def test_many_slow_at_once(httpd):
    """More than there are threads: none of them sleeps for an answer."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        for status, _, _ in pool.map(lambda _: httpd.ask("/slow/500"), range(64)):
            assert status == 200
    assert time.monotonic() - begin < 8, "answered one after the other"


def test_slow_and_the_client_leaves(httpd):
    for _ in range(20):
        with httpd.connect() as client:
            client.sendall(b"GET /slow/3600000 HTTP/1.1\r\nHost: x\r\n\r\n")
    httpd.idle()


def events(body):
    """[{field: value}] of a stream of server-sent events."""
    blocks = [block for block in body.decode().split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_events(httpd):
    begin = time.monotonic()
    status, headers, body = httpd.ask("/events/5?interval_ms=40")
    assert time.monotonic() - begin >= 0.2
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert "no-store" in headers["cache-control"]
    assert [(one["event"], one["id"], json.loads(one["data"])) for one in events(body)] == [
        ("tick", str(n), {"n": n}) for n in range(5)
    ]


def test_events_come_one_by_one(httpd):
    with httpd.connect() as client:
        client.sendall(b"GET /events/1000?interval_ms=20 HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        while seen.count(b"event: tick") < 3:
            seen += client.recv(1 << 16)
        assert seen.count(b"event: tick") < 100
    httpd.idle()


def test_no_events(httpd):
    status, headers, body = httpd.ask("/events/0")
    assert (status, headers["content-type"], body) == (200, "text/event-stream", b"")
