"""Peers that are silent, slow or too many, and the end under load, with 200 and with 5,000 of them."""

import contextlib
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import DEADLINE, ROOT, Daemon, run, tool, wait_until
from peers import HELLO, UnixConnection

N = 200
TIMEOUT = 1.5
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """limits_server, compiled against the library in the tree."""
    out = tmp_path_factory.mktemp("limits") / "limits_server"
    done = run(
        *[tool("cc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"],
        *[f"-I{ROOT}/include", ROOT / "tests" / "interop" / "limits_server.c", "-o", out],
        *[f"-L{ROOT}/build", f"-Wl,-rpath,{ROOT}/build", "-lhysock"],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def serve(program, daemon, sockdir):
    """`serve("head=1000", ...)`: a server with these limits; `wrap` is a command around it."""

    def start(*options, wrap=()):
        path = sockdir / f"s{len(list(sockdir.iterdir()))}"
        server = daemon(*wrap, program, path, *options, ready=f"listening on {path}")
        server.path = str(path)
        return server

    return start


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE)
    connection.connect(path)
    return connection


def read_answer(connection):
    """One answer: (head, body); both empty when the server closed before it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            assert not data, "the server closed within a head"
            return b"", b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while len(body) < int(length[1]):
        piece = connection.recv(65536)
        assert piece, "the server closed within a body"
        body += piece
    return head, body


def ask(connection):
    connection.sendall(REQUEST)
    head, body = read_answer(connection)
    return int(head.split()[1]) if head else 0, body


def lines(server, text):
    return [line for line in server.output.splitlines() if text in line]


def cpu_seconds(pid):
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- slow peers ----


class Steady:
    """A client beside the others, in a process of its own: what this one does costs it nothing."""

    def __init__(self, path):
        program = ROOT / "tests" / "interop" / "steady_client.py"
        argv = [sys.executable, str(program), path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(argv, text=True, **pipes)

    def __enter__(self):
        return self

    def finish(self):
        """(when a request began, how long it took) of each."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        assert self.process.returncode == 0, output
        return [tuple(map(float, line.split())) for line in output.splitlines()]

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def p99(times):
    assert len(times) >= 100, "too few to tell"
    return sorted(times)[len(times) * 99 // 100]


class Slow:
    """One slow peer: a byte a second from when it begins, sent or read."""

    def __init__(self, path, kind):
        self.kind = kind
        self.connection = connect(path)
        if kind == "idle":
            assert ask(self.connection)[0] == 200
        elif kind == "body":
            self.connection.sendall(POST)
        elif kind == "reader":
            self.connection.sendall(LARGE)
            self.connection.recv(1)  # it has begun
        self.connection.setblocking(False)
        self.began = time.monotonic()
        self.closed = None

    def step(self):
        """What it does each second."""
        with contextlib.suppress(BlockingIOError):
            if self.kind == "head":
                self.connection.send(b"G")
            elif self.kind == "body":
                self.connection.send(b"x")
            elif self.kind == "reader":
                self.connection.recv(1)


KINDS = {  # and the limit that each runs into
    "silent": "head",
    "head": "head",
    "body": "progress",
    "reader": "progress",
    "idle": "idle",
}


def outlive_slow_peers(path, kind):
    """All of them come, and are closed in time: from when to when they were there."""
    with contextlib.ExitStack() as stack:
        slow = [Slow(path, kind) for _ in range(N)]
        poll = select.poll()  # for the peer's end alone
        by_number = {}
        for one in slow:
            stack.enter_context(one.connection)
            by_number[one.connection.fileno()] = one
            poll.register(one.connection, 0)
        all_there = time.monotonic()
        next_step = all_there + 1
        end = all_there + DEADLINE
        while by_number:
            assert time.monotonic() < end, f"{len(by_number)} are still open"
            for number, events in poll.poll(50):
                assert events & select.POLLHUP
                poll.unregister(number)
                by_number.pop(number).closed = time.monotonic()
            if time.monotonic() >= next_step:
                next_step += 1
                for one in by_number.values():
                    with contextlib.suppress(BrokenPipeError):  # the next poll tells
                        one.step()
    times = [one.closed - one.began for one in slow]
    assert min(times) > TIMEOUT - 0.3
    assert max(times) < TIMEOUT + 1
    return all_there, max(one.closed for one in slow)


ROUNDS = 6
# Less than that is a turn of the scheduler, on a machine that has something else to do.
FLOOR = 0.002


@pytest.mark.parametrize("kind", KINDS)
def test_slow_peers_are_closed_in_time_and_others_do_not_notice(serve, kind):
    """The 99th percentile of a client beside them is within twice its own without them, before and after.

    In one of a few rounds: what disturbs all processes of the machine now and then is none of ours, what
    the slow peers do to the server they do in each. For the same reason server and client go before
    other processes, where that is allowed; nice(1) says so and goes on where it is not."""
    first = [tool("nice"), "-n", "-15"]
    server = serve(f"{KINDS[kind]}={int(TIMEOUT * 1000)}", wrap=first)
    seen = []
    while len(seen) < ROUNDS:
        with Steady(server.path) as steady:
            time.sleep(0.6)
            begun = time.monotonic()
            there, gone = outlive_slow_peers(server.path, kind)
            time.sleep(0.6)
            samples = steady.finish()
        beside = p99([took for began, took in samples if there < began < gone])
        alone = p99([took for began, took in samples if began < begun or began > gone])
        seen.append((beside, alone))
        if beside <= max(2 * alone, FLOOR):
            return
    pytest.fail(f"(beside slow peers, alone) in seconds: {seen}")


def test_a_slow_reader_lives_and_a_dead_one_does_not(serve):
    """With the default of 30 s: 2 KB/s are enough, nothing at all is not."""
    server = serve()
    with connect(server.path) as slow, connect(server.path) as dead:
        for connection in (slow, dead):
            connection.sendall(LARGE)
            connection.recv(1)
        began = time.monotonic()
        poll = select.poll()
        poll.register(dead, 0)
        died = None
        read = 0
        while (now := time.monotonic() - began) < 38:
            time.sleep(0.1)
            read += len(slow.recv(int(2000 * now) - read + 1))
            if died is None and poll.poll(0):
                died = now
        assert read > 70_000, "the slow one was cut off"
        assert died is not None and 29 < died < 31.5


# ---- too few descriptors ----


def limit_descriptors(server, most):
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, hard))


def descriptors(server):
    """How many the server has open without connections."""
    with connect(server.path) as connection:
        assert ask(connection)[0] == 200  # so it accepts
        return len(os.listdir(f"/proc/{server.pid}/fd")) - 1


def turned_away(connection):
    """Sends a request and reads: the status; None while nothing comes."""
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(REQUEST)
    head, _ = read_answer(connection)
    return head


def test_without_descriptors_clients_get_a_503_and_then_all_is_well(serve):
    server = serve()
    used = descriptors(server)
    with contextlib.ExitStack() as stack:
        limit_descriptors(server, used + 10)
        held = [stack.enter_context(connect(server.path)) for _ in range(10)]
        assert [ask(connection)[0] for connection in held] == [200] * 10

        for _ in range(20):
            with connect(server.path) as further:
                began = time.monotonic()
                head = turned_away(further)
                assert head.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in head
                assert further.recv(1) == b"", "it does not say that it is over"
                assert time.monotonic() - began < 1.5
        assert [ask(connection)[0] for connection in held] == [200] * 10, "others noticed"

        # One place more, and whoever comes next has it within a second.
        held.pop().close()
        began = time.monotonic()
        with connect(server.path) as lucky:
            assert ask(lucky)[0] == 200
            assert time.monotonic() - began < 1
    server.wait_line("accepted again")
    assert len(lines(server, "cannot accept")) == 1, server.output
    assert re.search(r"; 20 got a 503", server.wait_line("accepted again"))

    # The next shortage is an episode of its own.
    limit_descriptors(server, used)
    with connect(server.path) as further:
        assert turned_away(further).startswith(b"HTTP/1.1 503 ")
    limit_descriptors(server, used + 10)
    wait_until(lambda: len(lines(server, "accepted again")) == 2, what="a second end")
    assert len(lines(server, "cannot accept")) == 2, server.output


# What may keep accept4 from a connection, and whether a descriptor given up may help: then it is tried
# once more after each failure but the first.
SHORTAGES = {"EMFILE": True, "ENFILE": True, "ENOMEM": False}
PAUSES = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32]  # after each of the failures, and then there is none


@pytest.mark.parametrize("name", SHORTAGES)
def test_whatever_accept_lacks_it_pauses_and_goes_on(serve, sockdir, name):
    """strace says so to the server: the kernel runs out of memory for nobody's test."""
    trace = sockdir / "trace"
    failures = len(PAUSES) + (len(PAUSES) - 1 if SHORTAGES[name] else 0)
    # The first two calls are for the first connection: one finds it, one finds no other.
    inject = f"inject=accept4:error={name}:when=3..{2 + failures}"
    strace = [tool("strace"), "-f", "-qq", "-ttt", "-o", trace, "-e", "trace=accept4", "-e", inject]
    server = serve(wrap=strace)
    child = int(run(tool("ps"), "-o", "pid=", "--ppid", server.pid).stdout)
    with connect(server.path) as held:
        assert ask(held)[0] == 200
        with connect(server.path) as late:
            began = time.monotonic()
            late.sendall(REQUEST)
            assert ask(held)[0] == 200, "others noticed"
            head, body = read_answer(late)
            assert head.startswith(b"HTTP/1.1 200 ") and body == HELLO
            assert time.monotonic() - began < sum(PAUSES) + 1
        # It accepts as if nothing had been.
        for _ in range(20):
            with connect(server.path) as further:
                assert ask(further) == (200, HELLO)
    assert len(lines(server, "cannot accept")) == 1
    assert re.search(r"; 0 got a 503", server.wait_line("accepted again"))
    assert len(lines(server, "log:")) == 2, server.output
    os.kill(child, signal.SIGTERM)
    server.wait()

    calls = [line for line in trace.read_text().splitlines() if "accept4" in line]
    failed = [float(line.split()[1]) for line in calls if "(INJECTED)" in line]
    assert len(failed) == failures
    if SHORTAGES[name]:
        failed = failed[:1] + failed[1::2]
    for before, after, pause in zip(failed, failed[1:], PAUSES, strict=False):
        assert after - before > pause - 0.001, "it does not wait"
    accepted = sum("= -1" not in line for line in calls)
    assert accepted == 22
    # As a rule one for each connection and one that finds no other, and a last one at the end.
    assert len(calls) - failures < 3 * accepted, "it spins"


def test_a_shortage_that_passes_costs_nobody_an_answer(serve):
    """One that ends within the first moment: who came waits, and is served."""
    server = serve()
    used = descriptors(server)
    with connect(server.path) as held:
        assert ask(held)[0] == 200
        for _ in range(20):
            limit_descriptors(server, used + 1)
            with connect(server.path) as waiting:
                waiting.sendall(REQUEST)
                time.sleep(0.001)  # seen by the accept loop, most times
                limit_descriptors(server, used + 10)
                head, _ = read_answer(waiting)
                assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 "))
    # At most a few were too late for that: the machine may have paused us.
    assert 1 <= len(lines(server, "cannot accept"))


def test_five_thousand_connections_with_256_descriptors(serve):
    server = serve("head=60000")
    limit_descriptors(server, 256)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        assert hard >= 6000, "not enough descriptors for this test: see ulimit -Hn"
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(connect(server.path)) for _ in range(5000)]
            before, began = cpu_seconds(server.pid), time.monotonic()
            time.sleep(10)
            used = (cpu_seconds(server.pid) - before) / (time.monotonic() - began)
            assert used < 0.02, f"{used:.1%} of a processor for connections that wait"
            # Those that are served are, the others know.
            poll = select.poll()
            for connection in crowd:
                poll.register(connection, 0)
            told = len(poll.poll(0))
            assert 4700 < told < 5000, told
            assert sum(ask(one)[0] == 200 for one in crowd[:150]) == 150
        began = time.monotonic()
        with connect(server.path) as client:
            assert ask(client)[0] == 200
        assert time.monotonic() - began < 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.wait_line("accepted again")
    assert len(lines(server, "log:")) == 2, server.output


# ---- the end ----


class Keeper(threading.Thread):
    """Asks over and over: on one connection as long as that is open, or on one for each request.

    What it could send to the end was answered to the end; else it counts in `failures`."""

    def __init__(self, path, keep):
        super().__init__(daemon=True)
        self.path, self.keep = path, keep
        self.answered = 0
        self.failures = []

    def run(self):
        try:
            while self.serve_one():
                pass
        except BaseException as failure:  # noqa: BLE001 - the test reports it
            self.failures.append(repr(failure))

    def serve_one(self):
        """One connection; False when nobody listens any more."""
        try:
            connection = connect(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        with connection:
            while True:
                try:
                    sent = connection.send(REQUEST, socket.MSG_NOSIGNAL)
                except BrokenPipeError:
                    # Not a byte of it has left: it goes elsewhere. A new connection is no such case.
                    if not self.keep:
                        self.failures.append("EPIPE on a new connection")
                    return True
                assert sent == len(REQUEST)
                head, body = read_answer(connection)
                if not head.startswith(b"HTTP/1.1 200 ") or body != HELLO:
                    self.failures.append(head or "closed without an answer")
                self.answered += 1
                if not self.keep or b"connection: close" in head.lower():
                    return True


@pytest.mark.parametrize("delivery", ["pool", "inline"])
def test_no_request_is_lost_when_a_server_ends_under_load(program, sockdir, delivery):
    for round_ in range(5):
        path = str(sockdir / f"s{round_}")
        options = ["inline=1"] if delivery == "inline" else []
        with Daemon(program, path, *options, ready=f"listening on {path}") as server:
            clients = [Keeper(path, keep=index % 2 == 0) for index in range(8)]
            for client in clients:
                client.start()
            wait_until(lambda: all(one.answered > 50 for one in clients), what="load")  # noqa: B023
            server.stop()
            for client in clients:
                client.join(DEADLINE)
                assert not client.is_alive()
        assert [client.failures for client in clients] == [[]] * 8
        assert "closed: no error, 0 aborted" in server.output


@pytest.mark.parametrize("moment", [0.2, 0.6])
def test_a_request_that_meets_the_end_of_its_connection(serve, moment):
    """The server finds nothing to read, and before it closes the request comes: strace holds the
    server up in between, at each of its two looks."""
    delay = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=ioctl"]
    inject = ["-e", "inject=ioctl:delay_exit=400000"]
    server = serve(wrap=[tool("strace"), *delay, *inject])
    with connect(server.path) as connection:
        assert ask(connection)[0] == 200
        child = int(run(tool("ps"), "-o", "pid=", "--ppid", server.pid).stdout)
        os.kill(child, signal.SIGTERM)
        time.sleep(moment)
        try:
            connection.sendall(REQUEST)
        except BrokenPipeError:
            assert moment > 0.4, "the first look forbids nothing yet"
        else:
            head, body = read_answer(connection)
            assert head.startswith(b"HTTP/1.1 200 ") and b"connection: close" in head.lower()
            assert body == HELLO
        assert connection.recv(1) == b""
    server.wait()


def test_idle_connections_do_not_hold_up_the_end_and_answers_do(serve):
    server = serve()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(server.path)) for _ in range(100)]
        assert [ask(connection)[0] for connection in idle] == [200] * 100
        later = stack.enter_context(connect(server.path))
        later.sendall(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.05)
        began = time.monotonic()
        server.send(signal.SIGTERM)
        assert [connection.recv(1) for connection in idle] == [b""] * 100
        for connection in idle:
            with pytest.raises(BrokenPipeError):
                connection.send(b"G", socket.MSG_NOSIGNAL)
        head, body = read_answer(later)
        assert head.startswith(b"HTTP/1.1 200 ") and body == HELLO
        assert later.recv(1) == b""
        server.wait()
        assert time.monotonic() - began < 2


def test_the_drain_has_an_end(serve):
    server = serve("drain=300")
    with connect(server.path) as stuck:
        stuck.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        stuck.sendall(b"x")
        time.sleep(0.05)
        began = time.monotonic()
        server.stop()
        assert 0.25 < time.monotonic() - began < 2


# ---- exit on idle ----


def test_a_service_that_was_activated_ends_when_it_is_not_needed(program, daemon, sockdir):
    """systemd-socket-activate listens, starts the program at the first connection, and is gone then."""
    path = sockdir / "s"
    # Its file is there before it listens.
    manager = daemon(tool("systemd-socket-activate"), "-l", path, program, path,
                     "activated=1", "exit_idle=300", ready="Listening on")  # fmt: skip
    with contextlib.closing(UnixConnection(path)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read() == HELLO
        time.sleep(0.6)
        assert manager.alive(), "it ended with a connection open"
    began = time.monotonic()
    assert manager.wait() == 0
    assert time.monotonic() - began < 2
    assert path.exists(), "the manager's file"


def test_nobody_is_lost_between_two_instances(program, sockdir):
    """A manager that starts an instance whenever somebody waits; they end after 10 ms of silence."""
    path = str(sockdir / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        failures = []

        def client(number):
            try:
                for turn in range(60):
                    with connect(path) as connection:
                        status, body = ask(connection)
                        assert (status, body) == (200, HELLO), (status, body)
                    time.sleep((number * 37 + turn * 53) % 150 / 1000)
            except BaseException as failure:  # noqa: BLE001 - the test reports it
                failures.append(repr(failure))

        clients = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(3)]
        for one in clients:
            one.start()

        # The socket is to be number 3, and LISTEN_PID the program's own.
        pass_on = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3);"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
            "os.execv(sys.argv[2], sys.argv[2:])"
        )
        command = [sys.executable, "-Sc", pass_on, listener.fileno(), program, path]
        command += ["activated=1", "exit_idle=10", "inline=1"]
        instances = 0
        end = time.monotonic() + 3 * DEADLINE
        while any(one.is_alive() for one in clients):
            assert time.monotonic() < end, "the clients are stuck"
            if select.select([listener], [], [], 0.05)[0]:
                ended = run(*command, pass_fds=[listener.fileno()])
                assert ended.returncode == 0, ended.stdout + ended.stderr
                instances += 1
    assert not failures, failures
    assert instances > 3, "there were no ends to survive"
