"""A server's metrics read by Prometheus' own Python parser, and its access log of foreign clients."""

import os
import re
import time

import pytest
from conftest import run, tool, wait_until
from peers import UnixConnection, compiled
from prometheus_client.parser import text_string_to_metric_families

ENTRY = re.compile(
    r"access (?P<method>\S+) (?P<target>\S+) (?P<pattern>\S+) (?P<status>\d+) uid=(?P<uid>\d+) "
    r"pid=(?P<pid>\d+) received=(?P<received>\d+) sent=(?P<sent>\d+) us=(?P<us>\d+)"
)
NAMES = {
    "connections_open": "gauge",
    "connections": "counter",
    "connections_refused": "counter",
    "requests": "counter",
    "requests_in_flight": "gauge",
    "requests_malformed": "counter",
    "requests_unanswered": "counter",
    "requests_aborted": "counter",
    "requests_forbidden": "counter",
    "requests_overload": "counter",
    "answers": "counter",
    "timeouts": "counter",
    "received_bytes": "counter",
    "sent_bytes": "counter",
    "accept_errors": "counter",
    "listeners_lost": "counter",
    "log_dropped": "counter",
    "access_dropped": "counter",
    "uptime_seconds": "gauge",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("observed"), "observed")


@pytest.fixture(params=["pool", "inline"])
def observed(request, program, daemon, sockdir):
    path = sockdir / "s"
    return daemon(program, path, request.param, ready=f"listening on {path}"), path


def curl(path, *arguments):
    done = run(
        tool("curl"), "-sS", "-m", "15", "--unix-socket", path, "-w",
        "%{http_code} %{size_request} %{size_header} %{size_download}", "-o", os.devnull, *arguments,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def families(path):
    connection = UnixConnection(path)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
    text = answer.read().decode()
    connection.close()
    return {family.name.removeprefix("hysock_server_"): family
            for family in text_string_to_metric_families(text)}  # fmt: skip


def value(family, **labels):
    (found,) = [s.value for s in family.samples if s.labels == labels]
    return found


def test_metrics_are_what_prometheus_reads(observed):
    _, path = observed
    for _ in range(3):
        assert curl(path, "http://x/items/1")[0] == 200
    assert curl(path, "http://x/nowhere")[0] == 404
    assert curl(path, "-H", "Host: a,b", "http://x/items/1")[0] == 400
    found = families(path)
    assert {name: family.type for name, family in found.items()} == NAMES
    assert all(family.documentation.endswith(".") for family in found.values())
    assert value(found["requests"]) == 6, "this one included"
    assert value(found["connections"]) == 6
    assert value(found["answers"], **{"class": "2xx"}) == 3
    assert value(found["answers"], **{"class": "4xx"}) == 2
    assert value(found["answers"], **{"class": "5xx"}) == 0
    assert {s.labels["of"] for s in found["timeouts"].samples} == {
        "head", "idle", "progress", "handler",
    }  # fmt: skip
    assert value(found["received_bytes"]) > 300
    assert value(found["connections_open"]) >= 1
    again = families(path)
    assert value(again["requests"]) == 7
    assert value(again["received_bytes"]) > value(found["received_bytes"])


def entries(server, count):
    wait_until(lambda: sum("access " in line for line in server.lines) >= count, what="entries")
    return [found for line in server.lines if (found := ENTRY.fullmatch(line))]


def test_each_request_has_its_entry(observed):
    server, path = observed
    body = "x" * 50_000
    sizes = [
        curl(path, "http://x/items/4711?a=b"),
        curl(path, "--data-binary", body, "-H", "Expect:", "http://x/echo"),
        curl(path, "-X", "PUT", "http://x/echo"),
        curl(path, "http://x/nowhere"),
    ]
    found = entries(server, 4)
    assert [[e[k] for k in ("method", "target", "pattern", "status")] for e in found] == [
        ["GET", "/items/4711?a=b", "/items/{id}", "200"],
        ["POST", "/echo", "/echo", "200"],
        ["PUT", "/echo", "-", "405"],
        ["GET", "/nowhere", "-", "404"],
    ]
    for entry, (status, request, header, download) in zip(found, sizes, strict=True):
        assert int(entry["status"]) == status
        assert int(entry["uid"]) == os.geteuid()
        assert int(entry["pid"]) not in (0, server.pid)
        uploaded = len(body) if entry["method"] == "POST" else 0
        assert int(entry["received"]) in (request, request + uploaded), entry[0]
        assert int(entry["received"]) >= uploaded
        assert int(entry["sent"]) == header + download, entry[0]
        assert int(entry["us"]) < 15_000_000


def test_the_time_is_that_until_the_last_byte(observed):
    server, path = observed
    connection = UnixConnection(path)
    connection.connect()
    body = b"y" * 900_000  # more than a socket holds: the last byte waits for the reader
    connection.request("POST", "/echo", body)
    answer = connection.getresponse()
    time.sleep(0.3)  # a slow reader
    assert not any("access " in line for line in server.lines)
    assert answer.read() == body
    (entry,) = entries(server, 1)
    assert int(entry["us"]) >= 300_000, entry[0]
    assert len(body) < int(entry["sent"]) < len(body) + 200
    connection.close()
