"""The docker_* examples against a daemon that is played here, byte by byte; what they do with real
ones is in tests/interop."""

import socket
import struct
import subprocess
import threading

import pytest
from conftest import DEADLINE, example, run

JSON = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
RAW = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
SWITCH = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def json(status, body):
    return JSON % (status, len(body), body)


def frame(stream, data):
    return struct.pack(">B3xI", stream, len(data)) + data


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Fake:
    """Answers each request with the next function of `script(request, connection)`."""

    def __init__(self, path, *script):
        self.requests = []
        self.failure = None
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._listener.settimeout(DEADLINE)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        connection = None
        try:
            for answer in self._script:
                open_still = connection is not None and connection.fileno() >= 0
                request = read(connection) if open_still else b""
                while not request:  # the first, or the one before was closed
                    connection, _ = self._listener.accept()
                    connection.settimeout(DEADLINE)
                    request = read(connection)
                self.requests.append(request)
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)
        except BaseException as failure:  # noqa: BLE001 - the test reports it
            self.failure = failure
        finally:
            if connection:
                connection.close()
            self._listener.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if kind is None and self.failure is not None:
            raise self.failure


def read(connection):
    """One request, with its body; empty when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while length and len(body) < int(length[0].split(b":")[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


INFO = json(b"200 OK", b'{"Id":"x","Config":{"Tty":false}}')
TERMINAL = json(b"200 OK", b'{"Id":"x","Config":{"Tty":true}}')


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_logs_in_pieces_of_any_size(sockdir, step):
    text = frame(1, b"out one\n") + frame(2, b"err\n") + frame(1, b"") + frame(1, b"out two\n")
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    body = b"".join(chunk(piece) for piece in pieces) + b"0\r\n\r\n"
    with Fake(sockdir / "d", INFO, CHUNKED + body) as fake:
        done = run(example("docker_logs"), sockdir / "d", "box")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out one\nout two\n", "err\n")
    assert fake.requests[0].startswith(b"GET /containers/box/json HTTP/1.1\r\n")
    assert fake.requests[1].startswith(b"GET /containers/box/logs?stdout=1&stderr=1 HTTP/1.1\r\n")


def test_logs_of_a_terminal_are_as_they_are(sockdir):
    with Fake(sockdir / "d", TERMINAL, RAW + b"\x01plain\r\n") as fake:
        done = run(example("docker_logs"), "-f", sockdir / "d", "box", text=False)
    assert (done.returncode, done.stdout) == (0, b"\x01plain\r\n")
    assert b"&follow=1 " in fake.requests[1]


def test_logs_that_break_off(sockdir):
    with Fake(sockdir / "d", INFO, CHUNKED + chunk(frame(1, b"out\n"))):
        done = run(example("docker_logs"), sockdir / "d", "box")
    assert (done.returncode, done.stdout) == (1, "out\n")
    assert "the logs broke off" in done.stderr
    with Fake(sockdir / "e", json(b"404 Not Found", b'{"message":"no \\"such\\" box"}')):
        done = run(example("docker_logs"), sockdir / "e", "box")
    assert (done.returncode, done.stderr) == (
        1,
        'docker_logs: HTTP status 404: no "such" box\n',
    )
    done = run(example("docker_logs"), sockdir / "absent", "box")
    assert done.returncode == 1 and str(sockdir / "absent") in done.stderr
    done = run(example("docker_logs"), sockdir / "d", "b/../x")
    assert done.returncode == 1 and "no name of a container" in done.stderr
    assert run(example("docker_logs"), sockdir / "d").returncode == 2


@pytest.mark.parametrize("head", [SWITCH, RAW])
def test_exec_both_ways_and_half_closed(sockdir, head):
    def session(connection):
        # Output together with the head, and then an answer to the end of the input.
        connection.sendall(head + frame(1, b"early\n"))
        got = b""
        while piece := connection.recv(65536):
            got += piece
        assert got == b"in" * 100_000
        connection.sendall(frame(2, b"late\n"))
        connection.close()

    created = json(b"201 Created", b'{"Id":"abc123"}')
    ended = json(b"200 OK", b'{"ID":"abc123","Running":false,"ExitCode":42,"Pid":0}')
    with Fake(sockdir / "d", created, session, ended) as fake:
        command = ["-i", sockdir / "d", "box", "a command", 'q"\\\n']
        done = run(example("docker_exec"), *command, input="in" * 100_000)
    assert (done.returncode, done.stdout, done.stderr) == (42, "early\n", "late\n")
    first, second, third = fake.requests
    assert first.startswith(b"POST /containers/box/exec ")
    assert first.endswith(b'"Cmd":["a command","q\\u0022\\u005c\\u000a"]}')
    assert b'"AttachStdin":true' in first
    assert second.startswith(b"POST /exec/abc123/start ")
    assert b"\r\nupgrade: tcp\r\n" in second.lower() and b"connection: upgrade" in second.lower()
    assert third.startswith(b"GET /exec/abc123/json ")


def test_exec_whose_command_reads_nothing(sockdir):
    def session(connection):
        connection.sendall(SWITCH + frame(1, b"done\n"))
        connection.close()  # with input unread: a reset

    created = json(b"201 Created", b'{"Id":"a"}')
    ended = json(b"200 OK", b'{"ExitCode":0}')
    with Fake(sockdir / "d", created, session, ended):
        done = run(example("docker_exec"), "-i", sockdir / "d", "box", "x", input="in" * 1_000_000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_exec_that_is_refused(sockdir):
    with Fake(sockdir / "d", json(b"409 Conflict", b'{"message":"not running"}')):
        done = run(example("docker_exec"), sockdir / "d", "box", "x")
    assert done.returncode == 125
    assert done.stderr == "docker_exec: HTTP status 409: not running\n"
    created = json(b"201 Created", b'{"Id":"a"}')
    with Fake(sockdir / "e", created, json(b"200 OK", b"{}")):
        done = run(example("docker_exec"), sockdir / "e", "box", "x")
    assert done.returncode == 125 and "goes on with HTTP" in done.stderr
    assert run(example("docker_exec"), sockdir / "d", "box").returncode == 125


def test_events(sockdir):
    lines = [b'{"Action":"%d"}\n' % n for n in range(5)]
    ends = threading.Event()

    def stream(connection):
        connection.sendall(CHUNKED + chunk(lines[0] + lines[1][:7]))
        connection.sendall(chunk(lines[1][7:] + lines[2] + lines[3]))
        assert ends.wait(DEADLINE)  # no end of the stream: the program has had enough

    with Fake(sockdir / "d", stream):
        done = run(example("docker_events"), sockdir / "d", 3)
        ends.set()
    assert (done.returncode, done.stdout.encode()) == (0, b"".join(lines[:3]))
    with Fake(sockdir / "e", CHUNKED + chunk(lines[0]) + b"0\r\n\r\n"):
        done = run(example("docker_events"), sockdir / "e")
    assert (done.returncode, done.stdout.encode()) == (0, lines[0])
    with Fake(sockdir / "f", CHUNKED + chunk(lines[0])):
        done = run(example("docker_events"), sockdir / "f")
    assert (done.returncode, "broke off" in done.stderr) == (1, True)
    for wrong in ([], [sockdir / "d", 0], [sockdir / "d", 1, 2]):
        assert run(example("docker_events"), *wrong).returncode == 2


def test_events_are_shown_as_they_come(sockdir):
    go_on = threading.Event()

    def stream(connection):
        connection.sendall(CHUNKED + chunk(b"one\n"))
        assert go_on.wait(DEADLINE)
        connection.sendall(chunk(b"two\n") + b"0\r\n\r\n")

    with Fake(sockdir / "d", stream):
        command = [example("docker_events"), str(sockdir / "d")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as events:
            assert events.stdout.readline() == b"one\n"
            go_on.set()
            assert events.stdout.read() == b"two\n"
            assert events.wait(DEADLINE) == 0
