"""Other people's clients against examples-c/bin/hello_server, in every delivery."""

import concurrent.futures
import re
import socket

import pytest
from conftest import DEADLINE, example, run, tool
from peers import HELLO, UnixConnection, start_nginx

URL = "http://localhost/"


@pytest.fixture(params=["pool", "inline", "queue"])
def hello(request, daemon, sockdir):
    """A hello_server; its socket. It must end well (status 0) and take its socket file along."""
    path = sockdir / "s"
    command = [example("hello_server"), path, "--delivery", request.param]
    server = daemon(*command, ready=f"listening on {path}")
    yield path
    server.stop()
    assert not path.exists(), "the socket file stayed behind"


def curl(path, *arguments, **options):
    command = [tool("curl"), "-sS", "-m", "15", "--unix-socket", path, *arguments]
    done = run(*command, text=False, **options)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done


def head_lines(head):
    """Status line and {lower-case name: value} of an answer's head."""
    status, *lines = head.decode().replace("\r\n", "\n").strip().split("\n")
    return status, {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}


def test_curl_get(hello):
    done = curl(hello, "-i", URL)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    status, headers = head_lines(head)
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-type"] == "text/plain"
    assert headers["content-length"] == "13"
    assert body == HELLO


def test_curl_head(hello):
    status, headers = head_lines(curl(hello, "-I", URL).stdout)
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-length"] == "13", "the length of the body that GET would bring"
    # A body after the head would become the start of the next answer on this connection.
    then = curl(
        hello, "-I", URL, "--next", "-sS", "--unix-socket", hello, "-w", "|%{num_connects}", URL
    )
    assert then.stdout.endswith(b"\r\n\r\n" + HELLO + b"|0"), then.stdout


def test_curl_elsewhere_is_404(hello):
    done = curl(hello, "-w", "%{http_code}", URL + "absent")
    assert done.stdout.endswith(b"404")
    assert len(done.stdout) > 3, "a short text belongs to a 404"


def test_curl_post_with_expect(hello):
    # curl waits 60 s for the 100 before it sends the body, so an answer within its 15 s proves it.
    done = curl(
        hello,
        "-v",
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "60",
        "--data-binary",
        "@-",
        "-w",
        "%{http_code} %{size_upload}",
        URL,
        input=b"x" * 100_000,
    )
    assert b"< HTTP/1.1 100 Continue" in done.stderr
    assert re.search(rb"(404|405) 100000$", done.stdout), done.stdout


def test_curl_post_without_expect(hello):
    done = curl(
        hello,
        "-v",
        "-H",
        "Expect:",
        "--data-binary",
        "@-",
        "-w",
        "%{http_code} %{size_upload}",
        URL,
        input=b"x" * 100_000,
    )
    assert b"100 Continue" not in done.stderr
    assert re.search(rb"(404|405) 100000$", done.stdout), done.stdout


def test_curl_chunked_post(hello):
    done = curl(
        hello,
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect:",
        "--data-binary",
        "@-",
        "-w",
        "%{http_code} %{num_connects}\n",
        URL,
        URL,
        input=b"x" * 300_000,
    )
    assert re.findall(rb"(\d+) (\d+)\n", done.stdout)[-1][1] == b"0", "the connection was not kept"


def test_curl_sees_413_of_a_body_that_is_too_large(hello, sockdir):
    big = sockdir / "big"
    big.write_bytes(b"x" * (8 << 20))  # the limit is 1 MiB
    for _ in range(10):  # an early answer that is closed upon too soon gets lost now and then
        done = curl(hello, "-H", "Expect:", "--data-binary", f"@{big}", "-w", "%{http_code}", URL)
        assert done.stdout.endswith(b"413"), done.stdout


def test_curl_keeps_one_connection_for_100_requests(hello):
    done = curl(hello, "-w", "|%{http_code} %{num_connects}|\n", *[URL] * 100)
    answers = re.findall(rb"^(.*)\|(\d+) (\d+)\|$", done.stdout, re.MULTILINE)
    assert len(answers) == 100
    assert all(body == HELLO and code == b"200" for body, code, _ in answers)
    assert [int(connects) for _, _, connects in answers] == [1] + [0] * 99


def test_curl_http_1_0(hello):
    done = curl(hello, "-0", "-i", "-w", "|%{num_connects}|", URL, URL)
    assert done.stdout.count(b" 200 OK\r\n") == 2
    assert done.stdout.count(HELLO) == 2
    assert b"transfer-encoding" not in done.stdout.lower()
    assert re.findall(rb"\|(\d)\|", done.stdout) == [b"1", b"1"], "HTTP/1.0 closes by default"


def test_curl_http_1_0_keep_alive(hello):
    form = "|%{num_connects}|"
    done = curl(hello, "-0", "-H", "Connection: keep-alive", "-w", form, *[URL] * 3)
    assert done.stdout == HELLO + b"|1|" + (HELLO + b"|0|") * 2


def test_http_client(hello):
    client = UnixConnection(hello)
    for _ in range(100):
        client.request("GET", "/?a=b&c=%20")
        answer = client.getresponse()
        assert (answer.status, answer.version, answer.read()) == (200, 11, HELLO)
        client.request("GET", "/absent")
        answer = client.getresponse()
        assert answer.status == 404 and answer.read()
        client.request("HEAD", "/absent")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (404, b"")
    assert client.connected == 1
    client.close()


def test_http_client_chunked_upload(hello):
    client = UnixConnection(hello)
    for _ in range(20):
        client.request(
            "POST",
            "/absent",
            (b"y" * size for size in range(1, 400)),
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        answer = client.getresponse()
        assert answer.status == 404 and answer.read()
    assert client.connected == 1
    client.close()


def test_http_client_many_at_once(hello):
    def one(_):
        client = UnixConnection(hello)
        for _ in range(50):
            client.request("GET", "/")
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, HELLO)
        client.close()
        return client.connected

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(16), timeout=60)) == [1] * 16


def read_to_end(connection):
    whole = b""
    while piece := connection.recv(65536):
        whole += piece
    return whole


@pytest.mark.parametrize("requests", [1, 7])
def test_nc_half_closing(hello, requests):
    """printf ... | nc -N -U: nc shuts down its writing side at once; no answer may be lost."""
    text = r"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * requests
    line = f"printf '{text}' | {tool('nc')} -N -U {hello}"
    for _ in range(60):
        done = run("sh", "-c", line, text=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(b"HTTP/1.1 200 OK\r\n") == requests, done.stdout
        assert done.stdout.count(HELLO) == requests, done.stdout
        assert done.stdout.endswith(HELLO)


def test_socat_half_closing(hello):
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(60):
        # -t: how long socat waits for the other half; the server ends it sooner.
        done = run(
            tool("socat"), "-t", "15", "-", f"UNIX-CONNECT:{hello}", input=request, text=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n"), done.stdout
        assert done.stdout.endswith(HELLO), done.stdout


def test_half_closing_at_once_and_many_at_a_time(hello):
    """The same without a program between: 200 clients that half-close before they read."""

    def one(_):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(hello))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            return read_to_end(client)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for answer in pool.map(one, range(200), timeout=60):
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(HELLO)


def test_garbage_gets_400_and_disturbs_nobody(hello):
    good = UnixConnection(hello)
    good.request("GET", "/")
    assert good.getresponse().read() == HELLO
    for garbage in (
        b"\x00\x01\x02\xff\xfe\r\n\r\n",
        b"hello?\r\n\r\n",
        b"GET / HTTP/7.3\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of a TLS handshake
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(hello))
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            answer = read_to_end(client)
        # A TLS hello is no whole head: nothing to answer, but the connection must end.
        assert answer.startswith(b"HTTP/1.") or garbage[0] == 0x16, (garbage, answer)
        if answer:
            assert answer.split(b" ", 2)[1] in (b"400", b"505"), (garbage, answer)
    good.request("GET", "/")
    assert good.getresponse().read() == HELLO
    assert good.connected == 1
    good.close()


def test_h2load(hello):
    command = [tool("h2load"), "--h1", "-n", "5000", "-c", "10", "-B", f"unix:{hello}", URL]
    done = run(*command, timeout=60)
    assert done.returncode == 0, done.stderr
    line = re.search(r"^requests: .*$", done.stdout, re.MULTILINE).group()
    assert line == (
        "requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, "
        "0 failed, 0 errored, 0 timeout"
    )
    assert "status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout


def test_behind_nginx(hello, daemon, sockdir):
    """nginx in front, with kept connections to us."""
    front = sockdir / "front"
    up = (
        "location / { proxy_pass http://up; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; proxy_set_header Host $host; }'
    )
    server = start_nginx(
        daemon, sockdir, {front: up}, f"upstream up {{ server unix:{hello}; keepalive 8; }}"
    )
    done = curl(front, "-w", "|%{http_code}|", *[URL] * 50)
    assert done.stdout == (HELLO + b"|200|") * 50
    done = curl(front, "-w", "|%{http_code}|", URL + "absent")
    assert done.stdout.endswith(b"|404|")
    done = run(
        tool("h2load"), "--h1", "-n", "2000", "-c", "8", "-B", f"unix:{front}", URL, timeout=60
    )
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout, done.stdout
    server.stop()
    assert "upstream" not in server.output, server.output  # nginx logs every trouble with us
