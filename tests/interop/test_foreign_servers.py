"""hysock's client programs of examples-c against other people's servers."""

import concurrent.futures
import json
import re
import tarfile

import pytest
from conftest import DEADLINE, example, run
from containers import Podman, check_attach, check_build, check_life
from peers import (
    BIG,
    HELLO,
    OddServer,
    UnixConnection,
    answers,
    start_nginx,
    start_python,
)


def ask(path, target, *options, **keywords):
    """`request`: its stdout, as bytes."""
    done = run(example("request"), *options, path, target, text=False, **keywords)
    assert done.returncode == 0, done.stderr
    return done.stdout


def many_calls(path, calls, lanes):
    done = run(example("many_calls"), path, calls, lanes, timeout=60)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert re.fullmatch(rf"{calls} answers, 0 errors, \d+\.\d+ s\n", done.stdout), done.stdout
    assert done.stderr == ""


def proxy(daemon, sockdir, upstream):
    """The proxy example before `upstream`; a connection to it."""
    path = sockdir / "proxy"
    daemon(example("proxy"), path, upstream, ready=f"listening on {path}")
    return UnixConnection(path)


def through(connection, method, target, body=None, **headers):
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer


# nginx


@pytest.fixture
def nginx(daemon, sockdir):
    path = sockdir / "n"
    start_nginx(
        daemon,
        sockdir,
        {
            path: 'keepalive_requests 1000000; location = / { return 200 "Hello, world!"; }'
            'location = /seen { return 200 "$request_method|$host|$http_x_one|$content_type|'
            '$content_length|$server_protocol"; }'
            "location = /moved { return 301 /; } location = /nothing { return 204; }",
            sockdir / "few": 'keepalive_requests 7; location = / { return 200 "Hello, world!"; }',
            sockdir / "gzip": "gzip on; gzip_min_length 1; gzip_http_version 1.0; gzip_types *;",
        },
    )
    return path


def test_request_nginx(nginx):
    assert ask(nginx, "/") == HELLO
    head, _, body = ask(nginx, "/", "-i").partition(b"\n\n")
    assert head.startswith(b"HTTP/1.1 200\n") and body == HELLO
    assert b"server: nginx" in head.lower()
    assert b"content-length: 13" in head.lower()


def test_request_nginx_sees_what_was_sent(nginx):
    assert ask(nginx, "/seen") == b"GET|localhost||||HTTP/1.1"
    given = ["-X", "POST", "-H", "X-One: a  b", "-H", "Content-Type: text/x", "-d", "12345"]
    assert ask(nginx, "/seen", *given) == b"POST|localhost|a  b|text/x|5|HTTP/1.1"
    assert ask(nginx, "/seen", "-H", "Host: elsewhere") == b"GET|elsewhere||||HTTP/1.1"


def test_request_nginx_large_and_empty_bodies(nginx):
    assert ask(nginx, "/big") == BIG
    assert ask(nginx, "/empty") == b""
    assert ask(nginx, "/nothing", "-i").startswith(b"HTTP/1.1 204\n")
    head, _, body = ask(nginx, "/big", "-i", "-X", "HEAD").partition(b"\n\n")
    assert b"content-length: %d" % len(BIG) in head.lower() and body == b""


def test_request_nginx_statuses_are_answers(nginx):
    assert ask(nginx, "/absent", "-i").startswith(b"HTTP/1.1 404\n")
    moved = ask(nginx, "/moved", "-i").lower()
    assert moved.startswith(b"http/1.1 301\n") and b"\nlocation: " in moved
    done = run(example("request"), nginx, "/absent")
    assert (done.returncode, "404" in done.stdout) == (0, True)


def test_request_nginx_chunked(nginx, sockdir):
    # gzip on the fly has no length: nginx sends chunks.
    head, _, body = ask(sockdir / "gzip", "/big", "-i", "-H", "Accept-Encoding: gzip").partition(
        b"\n\n"
    )
    assert b"transfer-encoding: chunked" in head.lower()
    assert run("gzip", "-dc", input=body, text=False).stdout == BIG


def test_many_calls_nginx(nginx):
    many_calls(nginx, 5000, 64)
    many_calls(nginx, 200, 1)


def test_many_calls_nginx_that_ends_every_connection_soon(nginx, sockdir):
    # Every seventh answer says `Connection: close`: no call may be lost on a dying connection.
    many_calls(sockdir / "few", 2000, 16)


def test_proxy_nginx(nginx, daemon, sockdir):
    connection = proxy(daemon, sockdir, nginx)
    for _ in range(50):
        assert through(connection, "GET", "/")[:2] == (200, HELLO)
        assert through(connection, "GET", "/absent")[0] == 404
    assert through(connection, "HEAD", "/big")[:2] == (200, b"")
    assert through(connection, "GET", "/big")[:2] == (200, BIG)
    status, body, _ = through(connection, "GET", "/seen", **{"X-One": "1", "Connection": "x-one"})
    assert (status, body.split(b"|")[2]) == (200, b""), "a header listed in Connection went through"
    assert connection.connected == 1
    connection.close()


# Python's http.server


@pytest.fixture(params=["HTTP/1.0", "HTTP/1.1"])
def python(request, daemon, sockdir):
    path = sockdir / "p"
    start_python(daemon, path, request.param)
    return path


def test_request_python(python):
    assert ask(python, "/") == HELLO
    assert ask(python, "/until-close") == b"".join(b"%d\n" % n for n in range(1000))
    assert ask(python, "/echo?a=1", "-d", "some body") == b"POST /echo?a=1\nsome body"
    assert ask(python, "/echo", "-X", "DELETE") == b"DELETE /echo\n"
    assert ask(python, "/absent", "-i").partition(b"\n")[0].endswith(b" 404")
    seen = ask(python, "/headers", "-H", "X-Twice: 1", "-H", "X-Twice: 2").decode()
    pairs = [line.lower().split(": ", 1) for line in seen.splitlines()]
    assert [value for name, value in pairs if name == "x-twice"] == ["1", "2"]
    assert [value for name, value in pairs if name == "host"] == ["localhost"]


def test_request_python_version(daemon, sockdir):
    for version in ("HTTP/1.0", "HTTP/1.1"):
        path = sockdir / version[-1]
        start_python(daemon, path, version)
        assert ask(path, "/", "-i").startswith(version.encode() + b" 200\n")


def test_request_python_chunked(daemon, sockdir):
    path = sockdir / "p"
    start_python(daemon, path)
    assert ask(path, "/chunked") == b"".join(b"%d\n" % n for n in range(1000))


def test_many_calls_python(python):
    # HTTP/1.0: a connection for each call, against a backlog of 5 with 64 in flight.
    many_calls(python, 600, 64)


def test_many_calls_keeps_its_connections(daemon, sockdir):
    path = sockdir / "p"
    start_python(daemon, path)
    many_calls(path, 300, 4)
    count = int(ask(path, "/count"))  # its own connection is the last one of them
    assert 2 <= count <= 5, "300 calls with 4 in flight need no more than 4 connections"


def test_proxy_python(python, daemon, sockdir):
    connection = proxy(daemon, sockdir, python)
    for n in range(20):
        assert through(connection, "GET", "/")[:2] == (200, HELLO)
        body = b"z" * (n * 1000)
        expected = b"PUT /echo?n=%d\n" % n + body
        assert through(connection, "PUT", f"/echo?n={n}", body)[:2] == (200, expected)
    numbers = b"".join(b"%d\n" % n for n in range(1000))
    assert through(connection, "GET", "/until-close")[:2] == (200, numbers)
    assert connection.connected == 1, (
        "how the upstream ends its answer is not the client's business"
    )
    connection.close()


def test_proxy_many_at_once(daemon, sockdir):
    upstream = sockdir / "p"
    start_python(daemon, upstream)
    proxy(daemon, sockdir, upstream)

    def one(number):
        connection = UnixConnection(sockdir / "proxy")
        for k in range(20):
            body = b"%d-%d" % (number, k)
            assert through(connection, "POST", "/echo", body)[:2] == (200, b"POST /echo\n" + body)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(16), timeout=60))


def test_proxy_upstream_absent_or_broken(daemon, sockdir):
    upstream = sockdir / "u"
    connection = proxy(daemon, sockdir, upstream)
    assert through(connection, "GET", "/")[0] == 502
    with OddServer(upstream, answers(b"this is not HTTP\r\n\r\n")):
        assert through(connection, "GET", "/")[0] == 502
    upstream.unlink()
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
    with OddServer(upstream, answers(cut)):
        assert through(connection, "GET", "/")[0] == 502, "half an answer went out as a whole one"
    upstream.unlink()
    start_python(daemon, upstream)  # the upstream comes up: no restart of the proxy is needed
    assert through(connection, "GET", "/")[:2] == (200, HELLO)
    connection.close()


# podman's API service, Docker's API


@pytest.fixture
def podman(daemon, sockdir):
    with Podman(sockdir).serve() as one:
        yield one


def test_podman_life(podman):
    check_life(podman)


def test_podman_attach(podman):
    check_attach(podman)


def test_podman_build(podman):
    check_build(podman)


def test_request_podman(podman):
    assert ask(podman.socket, "/_ping") == b"OK"
    version = podman.run("version", "--format", "{{.Client.Version}}")
    assert json.loads(ask(podman.socket, "/version"))["Version"] == version
    info = json.loads(ask(podman.socket, "/v4.0.0/libpod/info"))
    assert info["version"]["Version"] == version
    head = ask(podman.socket, "/v4.0.0/libpod/containers/absent/json", "-i")
    assert head.startswith(b"HTTP/1.1 404\n")


def test_docker_ping_podman(podman, sockdir):
    (sockdir / "file").write_text("nothing to run\n")
    with tarfile.open(sockdir / "image.tar", "w") as tar:
        tar.add(sockdir / "file", "file")
    podman.run("import", sockdir / "image.tar", "hs-image")
    podman.run("create", "--network", "none", "--name", "hysock-was-here", "hs-image", "/file")
    done = run(example("docker_ping"), podman.socket)
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert said["ping"] == "OK"
    version = podman.run("version", "--format", "{{.Client.Version}}")
    assert json.loads(said["version"])["Version"] == version
    containers = json.loads(said["containers"])
    assert [name for one in containers for name in one["Names"]] == ["/hysock-was-here"]


def test_many_calls_and_proxy_podman(podman, daemon, sockdir):
    connection = proxy(daemon, sockdir, podman.socket)
    for _ in range(20):
        assert through(connection, "GET", "/_ping")[:2] == (200, b"OK")
    status, body, _ = through(connection, "GET", "/containers/json?all=true")
    assert (status, json.loads(body)) == (200, [])
    connection.close()


def test_docker_ping_without_a_daemon(sockdir):
    done = run(example("docker_ping"), sockdir / "absent", timeout=DEADLINE)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(sockdir / "absent") in done.stderr
