"""Who may come in: allow rules and the share of each user, with real users and other people's clients.

Other users need root. Without it each test says so in a warning, and tries what this user can.
"""

import contextlib
import os
import resource
import socket
import warnings

import pytest
from conftest import DEADLINE, ROOT, run, tool, wait_until
from peers import HELLO, UnixConnection

OTHER, GROUP = 54321, 54399  # nobody has these ids
MUCH = b"x" * (20 << 20)
IS_ROOT = os.geteuid() == 0
ME = f"uid:{os.geteuid()}"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """policy_server, compiled against the library in the tree."""
    out = tmp_path_factory.mktemp("policy") / "policy_server"
    done = run(
        *[tool("cc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"],
        *[f"-I{ROOT}/include", ROOT / "tests" / "interop" / "policy_server.c", "-o", out],
        *[f"-L{ROOT}/build", f"-Wl,-rpath,{ROOT}/build", "-lhysock"],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def serve(program, daemon, sockdir):
    """`serve("listener=self", ...)`: a server with these rules, whose socket anybody may write to."""
    sockdir.chmod(0o755)

    def start(*options):
        path = sockdir / f"s{len(list(sockdir.iterdir()))}"
        server = daemon(program, path, *options, ready=f"listening on {path}")
        server.path = path
        return server

    return start


def needs_root():
    if not IS_ROOT:
        warnings.warn("not root: other users were not tried", stacklevel=2)
    return IS_ROOT


def curl(server, target="/", user=None, groups=()):
    """A GET by curl, as this user or another: (status, body)."""
    command = [tool("curl"), "-sS", "-m", "15", "-w", "|%{http_code}", "--unix-socket", server.path]
    if user is not None:
        ids = [str(user)] if not groups else [str(group) for group in groups]
        change = [f"--reuid={user}", f"--regid={ids[0]}", f"--groups={','.join(ids)}"]
        command = [tool("setpriv"), *change, *command]
    done = run(*command, f"http://localhost{target}", cwd="/")
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("|")
    return int(status), body


def ask(server, target="/", method="GET", body=None):
    """A request by http.client: (status, headers, body)."""
    with contextlib.closing(UnixConnection(server.path)) as connection:
        connection.request(method, target, body=body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


RULES = {  # rule: what this user, another one and one with the group get
    None: (200, 200, 200),
    "self": (200, 403, 403),
    "root": (200 if IS_ROOT else 403, 403, 403),
    ME: (200, 403, 403),
    f"uid:{OTHER}": (403, 200, 200),
    f"gid:{GROUP}": (403, 403, 200),
    f"gid:{OTHER}": (403, 200, 200),  # the primary group of one, a supplementary one of the other
    "uid:0": (200 if IS_ROOT else 403, 403, 403),
}


@pytest.mark.parametrize("place", ["listener", "server", "admin"])
@pytest.mark.parametrize("rule", RULES)
def test_rule(serve, place, rule):
    server = serve(*([] if rule is None else [f"{place}={rule}"]))
    clients = [{}]
    if needs_root():
        clients += [{"user": OTHER}, {"user": OTHER, "groups": (GROUP + 1, GROUP, OTHER)}]
    for client, expected in zip(clients, RULES[rule]):
        status, body = curl(server, "/admin", **client)
        assert status == expected, client
        assert body == (HELLO.decode() if status == 200 else "403 this user is not allowed here\n")
        status, _ = curl(server, "/", **client)
        assert status == (200 if place == "admin" else expected), client


def test_several_rules_let_each_in_whom_one_names(serve):
    server = serve("listener=self", f"listener=uid:{OTHER}", f"admin=uid:{OTHER}")
    assert curl(server)[0] == 200
    assert curl(server, "/admin")[0] == 403
    if needs_root():
        assert curl(server, "/admin", user=OTHER)[0] == 200
        assert curl(server, user=OTHER + 1)[0] == 403


def test_all_places_must_let_in(serve):
    server = serve("listener=self", f"server=uid:{OTHER}")
    assert curl(server)[0] == 403
    if needs_root():
        assert curl(server, user=OTHER)[0] == 403


def test_a_route_that_refuses_keeps_the_connection(serve):
    server = serve(f"admin=uid:{OTHER}")
    connection = UnixConnection(server.path)
    with contextlib.closing(connection):
        for target, status in [("/", 200), ("/admin", 403)] * 3:
            connection.request("GET", target)
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.headers["connection"]) == (status, None)
    assert connection.connected == 1


EARLY = {  # what a server answers while the client is still sending
    "listener": ([f"listener=uid:{OTHER}"], "/", 403),
    "server": ([f"server=uid:{OTHER}"], "/", 403),
    "route": ([f"admin=uid:{OTHER}"], "/admin", 403),
    "share": (["connections=1"], "/", 503),
}


@pytest.fixture(params=EARLY)
def early(request, serve):
    """(server, target, status) of one that refuses this user."""
    options, target, status = EARLY[request.param]
    server = serve(*options)
    with contextlib.closing(UnixConnection(server.path)) as first:
        if status == 503:  # somebody has the only place
            first.request("GET", "/")
            assert first.getresponse().read() == HELLO
        yield server, target, status


def test_http_client_that_still_sends_sees_the_answer(early):
    server, target, expected = early
    for _ in range(20):
        status, headers, body = ask(server, target, "POST", MUCH)
        assert status == expected
        assert headers["connection"] == "close"
        assert headers["retry-after"] == ("1" if expected == 503 else None)
        assert body.startswith(b"%d " % expected)


def test_curl_that_still_sends_sees_the_answer(early, sockdir):
    server, target, expected = early
    big = sockdir / "big"
    big.write_bytes(MUCH)
    for _ in range(20):
        done = run(
            *[tool("curl"), "-sS", "-m", "15", "-w", "|%{http_code}", "--unix-socket", server.path],
            *["-H", "Expect:", "--data-binary", f"@{big}", f"http://localhost{target}"],
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"|{expected}"), done.stdout


def test_burst_of_refusals_is_one_line(serve):
    server = serve(f"listener=uid:{OTHER}")
    for _ in range(30):
        assert ask(server)[0] == 403
    server.stop()
    lines = [line for line in server.lines if line.startswith("log: ")]
    assert len(lines) == 1
    me = f"uid {os.geteuid()} (gid {os.getegid()}, pid {os.getpid()})"
    assert lines[0] == f"log: {server.path}: a connection of {me} was refused: no allow rule admits it"


# ---- shares ----


@pytest.fixture
def files():
    """As many descriptors as this user may have, for this program and what it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("share", [3, None])
def test_share_of_connections(serve, files, share):
    count = share or 1024
    assert files > 2 * count, "the hard limit of descriptors is too low for this test"
    server = serve(*([] if share is None else [f"connections={share}"]))
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            held = stack.enter_context(socket.socket(socket.AF_UNIX))
            held.settimeout(DEADLINE)
            held.connect(str(server.path))
        assert curl(server) == (503, "503 this user has too many connections\n")
        status, headers, _ = ask(server)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        held.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert held.recv(65536).startswith(b"HTTP/1.0 200 ")  # those who are in stay
        if needs_root():
            assert curl(server, user=OTHER) == (200, HELLO.decode())
    wait_until(lambda: ask(server)[0] == 200, what="places that are free again")


def test_share_of_requests(serve):
    server = serve("requests=2")
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(contextlib.closing(UnixConnection(server.path))) for _ in "12"]
        for connection in waiting:
            connection.request("GET", "/kept")
        # The two are on their way when a third is refused.
        wait_until(lambda: ask(server)[0] == 503, what="two requests that wait")
        status, headers, body = ask(server)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", None)
        assert body == b"503 too many requests of this user are waiting\n"
        if needs_root():
            assert curl(server, user=OTHER) == (200, HELLO.decode())
    wait_until(lambda: ask(server)[0] == 200, what="a share that is free again")
