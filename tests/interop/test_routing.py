"""Other people's clients against routing_server: what they send is what routes and queries say."""

import http.client
import random
import urllib.parse

import pytest
from conftest import ROOT, run, tool
from peers import UnixConnection

URL = "http://localhost"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """routing_server, compiled against the library in the tree."""
    out = tmp_path_factory.mktemp("routing") / "routing_server"
    done = run(
        tool("cc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2",
        f"-I{ROOT}/include", ROOT / "tests" / "interop" / "routing_server.c", "-o", out,
        f"-L{ROOT}/build", f"-Wl,-rpath,{ROOT}/build", "-lhysock", "-pthread",
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(params=["pool", "inline"])
def server(program, daemon, sockdir, request):
    path = sockdir / "s"
    daemon(program, path, request.param, ready=f"listening on {path}")
    return path


@pytest.fixture
def ask(server):
    """`ask(method, target)` over one kept connection: (answer, body)."""
    connection = UnixConnection(server)

    def one(method, target, headers=()):
        connection.putrequest(method, target)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer, answer.read()

    yield one
    assert connection.connected == 1, "the connection was not kept"
    connection.close()


def curl(path, *arguments):
    command = [tool("curl"), "-sS", "-m", "15", "--unix-socket", path, *arguments]
    done = run(*command, text=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


def some_bytes(generator, most):
    return generator.randbytes(generator.randint(1, most))


def test_parameters_come_back_as_they_were(ask):
    generator = random.Random(3)
    for _ in range(100):
        value = some_bytes(generator, 40)
        quoted = urllib.parse.quote_from_bytes(value, safe="")
        answer, body = ask("GET", f"/items/{quoted}")
        assert (answer.status, body) == (200, value), quoted
        assert answer.headers["x-pattern"] == "/items/{id}"
        answer, body = ask("GET", f"/files/a/{quoted}/b?{quoted}")
        assert (answer.status, body) == (200, b"a/" + value + b"/b"), quoted
        assert answer.headers["x-pattern"] == "/files/{*rest}"


def test_queries_come_back_as_they_were(ask):
    generator = random.Random(4)
    for _ in range(100):
        pairs = [(some_bytes(generator, 8), some_bytes(generator, 30)) for _ in range(9)]
        pairs.insert(generator.randrange(9), (b"a", some_bytes(generator, 30)))
        quote = generator.choice([urllib.parse.quote, urllib.parse.quote_plus])
        answer, body = ask("GET", "/query?" + urllib.parse.urlencode(pairs, quote_via=quote))
        assert answer.status == 200
        lines = [line.split("=") for line in body.decode().split()]
        assert [tuple(map(bytes.fromhex, line)) for line in lines] == pairs
        first = next(value for name, value in pairs if name == b"a")
        assert bytes.fromhex(answer.headers["x-first"]) == first


@pytest.mark.parametrize(
    "query",
    ["a=1&a=2", "a", "a=", "=", "=b", "&a&&b&", "a=b=c", "a+b=c+d", "a=%", "a=%4&b=%zz", "%61=%2B"],
)
def test_odd_queries_are_read_as_python_reads_them(ask, query):
    answer, body = ask("GET", f"/query?{query}")
    assert answer.status == 200
    lines = [line.split("=") for line in body.decode().split("\n")[:-1]]
    found = [tuple(bytes.fromhex(part).decode() for part in line) for line in lines]
    assert found == urllib.parse.parse_qsl(query, keep_blank_values=True)


def test_a_query_of_8_kib(ask):
    answer, body = ask("GET", "/query?" + "%41&" * 2000)
    assert (answer.status, body) == (200, b"41=\n" * 2000)


def test_curl_writes_the_query_itself(server):
    body = curl(server, "-G", "--data-urlencode", "a=1 + 1 = 2 & more", f"{URL}/query")
    name, value = body.decode().strip().split("=")
    assert (bytes.fromhex(name), bytes.fromhex(value)) == (b"a", b"1 + 1 = 2 & more")


def test_all_values_of_a_header(ask):
    values = ["1", "two, three", "", "4"]
    _, body = ask("GET", "/values", [("X-Value", value) for value in values])
    assert body.decode().split("\n")[:-1] == values


def test_methods_that_a_path_has(ask):
    everything = "DELETE, GET, HEAD, OPTIONS"
    answer, body = ask("OPTIONS", "/items/7")
    assert (answer.status, answer.headers["allow"], body) == (204, everything, b"")
    assert answer.headers["content-length"] is None, "a 204 has none"
    answer, body = ask("PUT", "/items/7")
    assert (answer.status, answer.headers["allow"]) == (405, everything)
    assert body, "a 405 has a short text"
    answer, body = ask("HEAD", "/items/7")
    assert (answer.status, body, answer.headers["content-length"]) == (200, b"", "1")
    answer, body = ask("OPTIONS", "*")
    assert (answer.status, body) == (204, b"")
    answer, _ = ask("OPTIONS", "/nowhere")
    assert answer.status == 404


def test_curl_options_of_the_server(server):
    out = curl(server, "-i", "-X", "OPTIONS", "--request-target", "*", URL)
    assert out.startswith(b"HTTP/1.1 204 ")


def test_before_and_after_every_handler(ask):
    answer, body = ask("GET", "/secret")
    assert (answer.status, body) == (401, b"no key\n")
    assert answer.headers["x-status"] == "401"
    answer, body = ask("GET", "/secret", [("X-Key", "1"), ("X-Value", "in")])
    assert (answer.status, body) == (200, b"in\n")
    assert (answer.headers["x-status"], answer.headers["x-pattern"]) == ("200", "/secret")
    answer, _ = ask("GET", "/nothing")
    assert (answer.status, answer.headers["x-status"]) == (http.client.INTERNAL_SERVER_ERROR, "500")
    answer, _ = ask("GET", "/nowhere")
    assert (answer.status, answer.headers["x-status"]) == (404, None)
