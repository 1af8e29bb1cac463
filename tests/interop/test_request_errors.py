"""What `request` says when no answer comes: exit status 1, nothing on stdout, and one line on
stderr that names the socket and the reason. What it may say of each reason stands in KINDS."""

import os
import re
import shutil
import socket
import time

import pytest
from conftest import example, run, tool
from peers import OddServer, answers, read_head

KINDS = {
    "absent": r"no such|does not exist|no socket|absent|nothing there",
    "refused": r"refused|nobody|no one|not listening|no listener",
    "not a socket": r"not a (\w+ )?socket|is a directory|is a (regular )?file|no socket",
    "forbidden": r"permission|denied|forbidden|may not|not allowed",
    "other type": r"type|datagram|stream",
    "busy": r"busy|backlog|full|queue",
    "timed out": r"timed out|time-?out|no answer within|within \d+ ms|deadline",
    "protocol": r"http|protocol|malformed|invalid|not valid",
    "truncated": r"truncated|early|before|incomplete|cut|ended|closed",
    "too large": r"too large|larger|limit|more than|over",
}


def complaint(path, *options, kind, target="/", before=(), program=None, **keywords):
    """Runs request, which must fail; checks the form and returns the message."""
    command = [*before, program or example("request"), *options, path, target]
    done = run(*command, text=False, **keywords)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == b"", "an error must not look like an answer"
    message = done.stderr.decode()
    assert message.startswith("request: ") and message.endswith("\n")
    assert message.count("\n") == 1, f"more than one line: {message!r}"
    assert str(path) in message, f"does not name the path: {message!r}"
    reason = message.replace(str(path), "").lower()
    assert re.search(KINDS[kind], reason), f"does not say {kind}: {message!r}"
    return reason


def bound(path, kind=socket.SOCK_STREAM):
    one = socket.socket(socket.AF_UNIX, kind)
    one.bind(str(path))
    return one


# Nothing to talk to


def test_absent_path(sockdir):
    complaint(sockdir / "absent", kind="absent")
    complaint(sockdir / "no-folder" / "s", kind="absent")


def test_dead_socket_file(sockdir):
    bound(sockdir / "dead").close()
    complaint(sockdir / "dead", kind="refused")
    assert (sockdir / "dead").is_socket(), "a client must not remove it"


def test_bound_but_not_listening(sockdir):
    with bound(sockdir / "s"):
        complaint(sockdir / "s", kind="refused")


def test_directory(sockdir):
    complaint(sockdir, kind="not a socket")


def test_regular_file(sockdir):
    (sockdir / "file").write_text("precious")
    complaint(sockdir / "file", kind="not a socket")
    assert (sockdir / "file").read_text() == "precious"


def test_datagram_socket(sockdir):
    with bound(sockdir / "d", socket.SOCK_DGRAM):
        complaint(sockdir / "d", kind="other type")


def test_the_reasons_differ(sockdir):
    """Five causes, five messages: nobody can fix `error -1`."""
    bound(sockdir / "1").close()
    (sockdir / "2").write_text("")
    seen = {
        complaint(sockdir / "0", kind="absent"),
        complaint(sockdir / "1", kind="refused"),
        complaint(sockdir / "2", kind="not a socket"),
    }
    with bound(sockdir / "4", socket.SOCK_DGRAM):
        seen.add(complaint(sockdir / "4", kind="other type"))
    with OddServer(sockdir / "5", answers(b"", stay=True)):
        seen.add(complaint(sockdir / "5", "--max-time", "100", kind="timed out"))
    assert len(seen) == 5, seen


def test_full_backlog_is_busy_not_refused(sockdir):
    """The deadline passes while nobody accepts; a slot that comes free in time is taken."""
    with bound(sockdir / "s") as listener:
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(sockdir / "s"))  # the one that a backlog of 0 takes
            start = time.monotonic()
            complaint(sockdir / "s", "--max-time", "400", kind="busy")
            assert 0.35 < time.monotonic() - start < 5


# Permission


@pytest.fixture
def stranger(sockdir):
    """A command prefix and a copy of `request` for somebody without rights, and their environment.

    A copy, since the folder of the repository may be closed to strangers. Root has every right,
    so it becomes nobody; anybody else lacks rights already."""
    sockdir.chmod(0o755)
    place = sockdir / "bin"
    place.mkdir()
    program = shutil.copy(example("request"), place)
    for line in run("ldd", example("request")).stdout.splitlines():
        if found := re.match(r"\s*(libhysock\S*) => (/\S+)", line):
            shutil.copy(found[2], place / found[1])
    assert list(place.glob("libhysock*")), "request is not linked with libhysock.so"
    before = []
    if os.geteuid() == 0:
        before = [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    environment = dict(os.environ, LD_LIBRARY_PATH=str(place))
    return {"before": before, "program": program, "env": environment}


def test_permission_of_the_socket(sockdir, stranger):
    with OddServer(sockdir / "s", answers(b"HTTP/1.1 204 No Content\r\n\r\n")):
        (sockdir / "s").chmod(0o666)  # the way there is open, so what follows is about the socket
        run_as = [*stranger["before"], stranger["program"], "-i", sockdir / "s", "/"]
        assert run(*run_as, env=stranger["env"]).stdout.startswith("HTTP/1.1 204\n")
        (sockdir / "s").chmod(0)
        complaint(sockdir / "s", kind="forbidden", **stranger)


def test_permission_of_the_folder(sockdir, stranger):
    closed = sockdir / "closed"
    closed.mkdir()
    with OddServer(closed / "s", answers(b"")):
        (closed / "s").chmod(0o666)
        closed.chmod(0)
        complaint(closed / "s", kind="forbidden", **stranger)
        closed.chmod(0o700)


# Somebody answers, but not with HTTP


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x00\x01\x02\x03\xff\xfe\xfd\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-hex\r\nx\r\n0\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46" + b"\0" * 64,
    ],
)
@pytest.mark.parametrize("stay", [False, True], ids=["closes", "stays"])
def test_garbage_server(sockdir, garbage, stay):
    # A server that stays shows that the error is seen when it comes, not at the end of the stream.
    if stay and not garbage.endswith(b"\n"):
        garbage += b"\r\n\r\n"
    with OddServer(sockdir / "s", answers(garbage, stay=stay)) as server:
        complaint(sockdir / "s", kind="protocol")
    assert len(server.heads) == 1, "a request that somebody answered was sent again"


def test_head_without_end(sockdir):
    """A server that never stops sending headers is stopped by a limit, not by memory."""

    def endless(server, connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000_000):
            connection.sendall(b"x-%d: %s\r\n" % (number, b"y" * 1000))

    with OddServer(sockdir / "s", endless):
        complaint(sockdir / "s", kind="too large")


def test_body_over_the_limit(sockdir):
    def endless(server, connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(1 << 16):
            connection.sendall(b"y" * 65536)

    with OddServer(sockdir / "s", endless):
        reason = complaint(sockdir / "s", kind="too large")
    assert "hysock_client_config_set_max_body" in reason, "the message must name the setter"


# An answer that stops too soon


@pytest.mark.parametrize(
    "part",
    [
        b"H",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
def test_truncated_answer(sockdir, part):
    with OddServer(sockdir / "s", answers(part)) as server:
        complaint(sockdir / "s", kind="truncated")
    assert len(server.heads) == 1, "a request that somebody answered was sent again"


def test_closed_without_a_byte(sockdir):
    with OddServer(sockdir / "s", answers(b"")) as server:
        complaint(sockdir / "s", "-d", "x", kind="truncated")
    assert len(server.heads) == 1, "a POST that may have been carried out was sent again"


# No answer in time


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_timeout(sockdir, part):
    with OddServer(sockdir / "s", answers(part, stay=True)):
        start = time.monotonic()
        complaint(sockdir / "s", "--max-time", "300", kind="timed out")
        assert 0.25 < time.monotonic() - start < 5


def test_timeout_is_for_the_whole_call(sockdir):
    """A server that always sends a little does not push the deadline ahead."""

    def dribble(server, connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.release.wait(0.02):  # a pace, not a synchronisation
            connection.sendall(b".")

    with OddServer(sockdir / "s", dribble):
        start = time.monotonic()
        complaint(sockdir / "s", "--max-time", "400", kind="timed out")
        assert 0.35 < time.monotonic() - start < 5


def test_timeout_while_sending(sockdir):
    """The server reads nothing and the request is larger than the socket's buffer."""

    def deaf(server, connection):
        server.release.wait(20)

    data = "d" * 120_000  # less than one argument may have
    headers = [x for _ in range(8) for x in ("-H", "X-Pad: " + "p" * 100_000)]
    with OddServer(sockdir / "s", deaf):
        start = time.monotonic()
        complaint(sockdir / "s", "--max-time", "300", "-d", data, *headers, kind="timed out")
        assert 0.25 < time.monotonic() - start < 5


# What must not reach the wire


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (["-H", "X-A: b\r\nX-Injected: c"], "/"),
        (["-H", "X A: b"], "/"),
        (["-H", "X-A\r\nX-B: c"], "/"),
        (["-H", ": empty"], "/"),
        (["-X", "GE T"], "/"),
        (["-X", "GET\r\n"], "/"),
        (["-X", ""], "/"),
        ([], "no-slash"),
        ([], ""),
        ([], "/a b"),
        ([], "/a\r\nHost: evil"),
    ],
)
def test_illegal_arguments_send_nothing(sockdir, options, target):
    with OddServer(sockdir / "s", answers(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        done = run(example("request"), *options, sockdir / "s", target)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert re.fullmatch(r"request: .{10,}\n", done.stderr), repr(done.stderr)
        assert server.heads == []
        # The server lives and answers what is legal: the silence above was the client's.
        assert run(example("request"), "-i", sockdir / "s", "/").stdout.startswith("HTTP/1.1 204\n")
        assert len(server.heads) == 1


@pytest.mark.parametrize("path", ["", "x" * 5000, "/tmp/" + "d/" * 3000 + "s"])
def test_odd_paths(path):
    done = run(example("request"), path, "/")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"request: .{10,}\n", done.stderr), repr(done.stderr)
