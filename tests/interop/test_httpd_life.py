"""How examples-c/httpd ends, reloads, is activated and replaced."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import DEADLINE, default_signals, example, tool, wait_until
from httpd import ALL_DELIVERIES, DELIVERIES, Httpd, read_all
from peers import HELLO, UnixConnection

SLACK = 1.0  # seconds by which a deadline may be late

# The end


def begun(server, target):
    """A connection with a request that is in its handler's hands."""
    before = server.metrics()["hysock_server_requests_in_flight"]
    client = server.connect()
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    wait_until(lambda: server.metrics()["hysock_server_requests_in_flight"] > before)
    return client


@pytest.mark.parametrize("delivery", ALL_DELIVERIES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered(sockdir, delivery, number):
    with Httpd(sockdir / "s", delivery=delivery) as server:
        with begun(server, "/slow/700") as client, server.connect() as silent:
            server.daemon.send(number)
            answer = read_all(client)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nconnection: close\r\n" in answer.lower()
            assert read_all(silent) == b""
        server.daemon.wait()
        assert "cut short" not in server.daemon.output


def test_streams_in_flight_are_finished(sockdir):
    with Httpd(sockdir / "s") as server:
        with begun(server, "/events/10?interval_ms=60") as client:
            server.daemon.send(signal.SIGTERM)
            answer = read_all(client)
        assert answer.count(b"event: tick") == 10 and answer.endswith(b"0\r\n\r\n")
        server.daemon.wait()


@pytest.mark.parametrize("delivery", ALL_DELIVERIES)
@pytest.mark.parametrize("target", ["/slow/3600000", "/events/10?interval_ms=3600000"])
def test_drain_ends(sockdir, delivery, target):
    with Httpd(sockdir / "s", "--drain", "400", delivery=delivery) as server:
        with begun(server, target) as client:
            begin = time.monotonic()
            server.daemon.send(signal.SIGTERM)
            answer = read_all(client)
            assert not answer.endswith(b"0\r\n\r\n"), "it is not whole and must not look so"
            server.daemon.wait()
            assert 0.4 <= time.monotonic() - begin < 0.4 + 2 * SLACK
        assert "1 answers were cut short" in server.daemon.output


def test_the_second_signal_does_not_wait(sockdir):
    with Httpd(sockdir / "s", "--drain", "60000") as server, begun(server, "/slow/3600000"):
        server.daemon.send(signal.SIGTERM)
        wait_until(lambda: not server.path.exists())
        server.daemon.send(signal.SIGTERM)
        server.daemon.wait(deadline=10)


def test_upgraded_sessions_are_drained(sockdir):
    ask = b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    with Httpd(sockdir / "s", "--drain", "600") as server:
        with server.connect() as ends, server.connect() as stays:
            for client in (ends, stays):
                client.sendall(ask)
                assert b" 101 " in client.recv(4096)
            server.daemon.send(signal.SIGTERM)
            wait_until(lambda: not server.path.exists())
            ends.sendall(b"still here")
            ends.shutdown(socket.SHUT_WR)
            assert read_all(ends) == b"still here"
            assert read_all(stays) == b"", "cut off when the drain was over"
        server.daemon.wait()


# Reload


def test_reload(sockdir):
    settings = sockdir / "settings"
    settings.write_text("max-body 10\n")
    log = sockdir / "log"
    with Httpd(sockdir / "s", "--settings", settings, "--access-log", log) as server:
        with contextlib.closing(UnixConnection(server.path)) as kept:

            def status(size):
                kept.request("GET", "/hello", b"x" * size)
                answer = kept.getresponse()
                answer.read()
                return answer.status

            def reload(text, line):
                settings.write_text(text)
                seen = len(server.daemon.lines)
                server.daemon.send(signal.SIGHUP)
                wait_until(lambda: line in "\n".join(server.daemon.lines[seen:]))

            assert (status(10), status(11)) == (200, 413)
            status(1)
            connected = kept.connected
            reload("max-body 20\nhead-timeout 500\n", "reloaded")
            assert status(20) == 200
            assert kept.connected == connected, "the reload cut a connection"
            # What is wrong changes nothing.
            for wrong in ("max-body 0", "max-body", "absent 1", "mode 0600", "max-body 1 2"):
                reload(f"\n{wrong}\n", f"line 2: not a setting: {wrong}")
                assert status(20) == 200
            assert status(21) == 413
            # The rules too, also for the connection that is there.
            reload("allow-uid 4294967294\n", "reloaded")
            assert server.ask()[0] == 403
            assert kept.connected == connected and status(1) == 403
            reload("", "reloaded")
            assert server.ask()[0] == 200


def test_access_log(sockdir):
    log = sockdir / "log"
    with Httpd(sockdir / "s", "--access-log", log) as server:
        server.ask("/items/7?x=y")
        server.ask("/echo", "POST", b"x" * 100)
        server.ask("/absent")
        wait_until(lambda: log.read_text().count("\n") == 3)
    lines = log.read_text().splitlines()
    who = f"uid={os.getuid()} pid={os.getpid()} "
    for line, request in zip(
        lines, ("GET /items/7?x=y 200 ", "POST /echo 200 ", "GET /absent 404 "), strict=True
    ):
        assert line.startswith(who + request), line
    assert int(re.search(r" in=(\d+) ", lines[1])[1]) >= 100


# The service manager, and the next one


def test_activation_without_any_is_a_socket_of_our_own(sockdir):
    with Httpd(sockdir / "s", "--activation") as server:
        assert server.ask()[2] == HELLO
    assert not (sockdir / "s").exists()


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_systemd_socket_activate(daemon, sockdir, delivery):
    """It listens, and becomes httpd when the first client comes."""
    path = sockdir / "passed"
    command = [tool("systemd-socket-activate"), "-l", path, example("httpd"), sockdir / "own"]
    options = ["--activation", "--exit-on-idle", "500", "--delivery", delivery]
    manager = daemon(*command, *options, ready="Listening on", status=None)
    with contextlib.closing(UnixConnection(path)) as client:
        for _ in range(3):
            client.request("GET", "/hello")
            assert client.getresponse().read() == HELLO
        assert not (sockdir / "own").exists()
        time.sleep(1.0)  # it is not idle as long as we are connected
        assert manager.alive()
    begin = time.monotonic()
    manager.wait(0)
    assert time.monotonic() - begin < 0.5 + 2 * SLACK
    assert path.is_socket(), "not ours to remove"


def test_exit_on_idle(sockdir):
    with Httpd(sockdir / "s", "--exit-on-idle", "600") as server:
        begin = time.monotonic()
        assert server.ask("/slow/1000")[0] == 200
        assert time.monotonic() - begin >= 1.0
        server.daemon.wait(0)
        assert 1.5 <= time.monotonic() - begin < 1.6 + 2 * SLACK


def test_exit_on_idle_loses_nothing(sockdir):
    """What a service manager does: it holds the socket and starts the daemon when somebody comes.

    Clients come at every moment around the daemon's end; each must be answered.
    """
    path = sockdir / "s"
    stop, starts, failure = threading.Event(), [], []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        listener.settimeout(0.05)
        script = 'exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
        command = ["sh", "-c", script, example("httpd"), sockdir / "own"]
        poll = select.poll()
        poll.register(listener, select.POLLIN)

        def manage():
            while not stop.is_set():
                if not poll.poll(50):
                    continue
                done = subprocess.run(
                    [*command, "--activation", "--exit-on-idle", "20"],
                    stdin=listener,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    preexec_fn=default_signals,
                    timeout=60,
                )
                starts.append(done.returncode)
                if done.returncode != 0:
                    failure.append(done.stderr)

        manager = threading.Thread(target=manage)
        manager.start()
        try:
            for number in range(120):
                with contextlib.closing(UnixConnection(path)) as client:
                    client.request("GET", "/hello")
                    assert client.getresponse().read() == HELLO
                time.sleep(0.015 + number % 12 * 0.0012)  # 15 to 28 ms: about when it ends
        finally:
            stop.set()
            manager.join(60)
        assert not failure, failure
        assert len(starts) > 10, "it hardly ever ended: nothing was shown"


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_takeover(sockdir, delivery):
    path = sockdir / "s"
    with Httpd(path, delivery=delivery) as old, begun(old, "/slow/1500") as slow:
        with contextlib.closing(UnixConnection(path)) as kept:
            kept.request("GET", "/hello")
            kept.getresponse().read()
            with Httpd(path, "--takeover", delivery=delivery) as new:
                inode = path.stat().st_ino
                assert server_of(new) == new.pid
                kept.request("GET", "/hello")  # the old one goes on with those it has
                assert kept.getresponse().read() == HELLO
                # It has noticed, and said so.
                old.daemon.wait_line("replaced")
                old.daemon.send(signal.SIGTERM)
                assert read_all(slow).startswith(b"HTTP/1.1 200 OK")
                old.daemon.wait(0)
                assert path.stat().st_ino == inode, "the old one took the new one's file along"
                assert server_of(new) == new.pid
    assert not path.exists()


def server_of(httpd):
    """The process that accepts at httpd's path."""
    with httpd.connect() as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], "little")


def test_takeover_again_and_again_under_load(sockdir):
    """No connect fails and no request is lost while five servers follow each other."""
    path, stop, failure, answered = sockdir / "s", threading.Event(), [], []

    def load():
        try:
            while not stop.is_set():
                with contextlib.closing(UnixConnection(path)) as client:
                    client.request("GET", "/hello")
                    assert client.getresponse().read() == HELLO
                    answered.append(1)
        except BaseException as problem:  # noqa: BLE001 - the test reports it
            failure.append(repr(problem))

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Httpd(path))]
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                before = len(answered)
                servers.append(stack.enter_context(Httpd(path, "--takeover")))
                servers[-2].daemon.stop()
                wait_until(lambda: len(answered) > before + 50 or failure)
        finally:
            stop.set()
            for thread in threads:
                thread.join(DEADLINE)
        assert not failure, failure
