"""One server follows the other without a failed request: by taking over, by handing over, through
systemd."""

import os
import signal
import socket
import subprocess

import pytest
from conftest import DEADLINE, example, processes, run, tool, wait_until
from peers import UnixConnection
from sockets import Load, ask, listener, program, refused, served  # noqa: F401

# ---- under load ----


def test_a_take_over_under_load_fails_nobody(served, sockdir):
    path = sockdir / "s"
    old = served(path, "--take-over")
    with Load(path) as load:
        load.reaches(old.pid)
        for _ in range(10):
            inode = os.lstat(path).st_ino
            new = served(path, "--take-over")
            assert os.lstat(path).st_ino != inode
            load.reaches(new.pid)
            # The old one hears of it, and ends without a trace.
            assert f"{path}: the socket file was replaced" in old.wait_line("log:", 5)
            old.stop()
            assert ask(path) == new.pid
            old = new
    assert load.failures == []
    old.stop()
    assert not path.exists()


def receive_descriptor(at):
    connection, _ = at.accept()
    with connection:
        connection.settimeout(DEADLINE)
        _, (fd,), _, _ = socket.recv_fds(connection, 1, 1)
        return fd


def test_a_hand_over_by_scm_rights_under_load_fails_nobody(served, sockdir):
    path, meeting = sockdir / "s", sockdir / "meeting"
    inode = None
    with listener(meeting) as at:
        at.settimeout(DEADLINE)
        old = served(path, "--successor", meeting)
        inode = os.lstat(path).st_ino
        with Load(path) as load:
            load.reaches(old.pid)
            for _ in range(10):
                old.send(signal.SIGUSR2)
                fd = receive_descriptor(at)
                more = ["--adopt", fd, "--successor", meeting]
                new = served(path, *more, pass_fds=(fd,))
                os.close(fd)
                old.wait()
                load.reaches(new.pid)
                assert os.lstat(path).st_ino == inode, "the socket is the same all the time"
                old = new
        assert load.failures == []
    # Clients, and who wants the path, see the last one.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert int.from_bytes(peer[:4], "little") == old.pid
    old.stop()
    assert not path.exists()


def test_take_overs_and_hand_overs_mix(program, served, sockdir):
    """A socket that was made beside its path is handed over under the path that it stands at."""
    path, meeting = sockdir / "s", sockdir / "meeting"
    with listener(meeting) as at:
        at.settimeout(DEADLINE)
        for _ in range(2):
            old = served(path, "--take-over", "--successor", meeting)
            old.send(signal.SIGUSR2)
            fd = receive_descriptor(at)
            new = served(path, "--adopt", fd, pass_fds=(fd,))
            os.close(fd)
            old.wait()
            assert ask(path) == new.pid
            assert f"by pid {new.pid}" in refused(program, path)
        new.stop()
    assert not path.exists()
    assert "log:" not in new.output, "its file was never lost"


# ---- systemd ----


def activate(daemon, command, *sockets, names=None, accept=False, **more):
    """systemd-socket-activate, listening."""
    argv = [tool("systemd-socket-activate")]
    argv += [f"--listen={path}" for path in sockets]
    argv += [f"--fdname={names}"] if names else []
    argv += ["--accept", "--inetd"] if accept else []
    return daemon(*argv, *command, ready=f"Listening on {sockets[-1]}", **more)


def test_what_systemd_passes_is_served(program, daemon, sockdir):
    path = sockdir / "s"
    started = activate(daemon, [program, "-", "--activated", "web"], path, names="web")
    inode = os.lstat(path).st_ino
    # The first one starts it, and is served; it was exec'ed in place.
    assert ask(path) == started.pid
    assert ask(path) == started.pid
    started.stop()
    assert os.lstat(path).st_ino == inode, "the file is systemd's"


def test_of_several_passed_sockets_the_named_ones_are_served(program, daemon, sockdir):
    web, admin = sockdir / "web", sockdir / "admin"
    command = [program, "-", "--activated", "web"]
    started = activate(daemon, command, web, admin, names="web:admin")
    assert ask(web) == started.pid
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.3)
        client.connect(str(admin))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)
    started.stop()


def test_a_connection_that_systemd_accepted_is_served(program, daemon, sockdir):
    path = sockdir / "s"
    started = activate(daemon, [program, "-", "--inetd"], path, accept=True, status=None)
    pids = set()
    for _ in range(3):
        client = UnixConnection(path)
        for _ in range(3):
            client.request("GET", "/")
            pids.add(int(client.getresponse().read()))
        client.close()
    assert len(pids) == 3 and started.pid not in pids, "one process for each connection"
    # Each ends with its connection; systemd-socket-activate reaps them.
    wait_until(lambda: not [pid for pid, *_ in processes() if pid in pids], what="their ends")


# ---- the examples ----


def test_socket_activation_example(daemon, sockdir):
    path = sockdir / "s"
    started = activate(daemon, [example("socket_activation")], path)
    client = UnixConnection(path)
    for _ in range(3):
        client.request("GET", "/")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"Hello, world!")
    client.close()
    started.stop()
    assert f"socket {path}\nlistening on 1 passed sockets" in started.output
    assert path.exists()

    path = sockdir / "own"
    by_hand = daemon(example("socket_activation"), path, ready="listening on 0 passed sockets")
    done = run(example("request"), path, "/")
    assert (done.returncode, done.stdout) == (0, "Hello, world!")
    by_hand.stop()
    assert not path.exists()

    done = run(example("socket_activation"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: socket_activation ")


def test_hand_over_example(sockdir):
    """Each process starts its own successor, so none of them is a Daemon: they outlive each other."""
    path, said = sockdir / "s", sockdir / "said"

    def lines(count):
        wait_until(lambda: said.read_text().count("\n") >= count, what=f"{count} lines")
        return [int(line.split()[0]) for line in said.read_text().splitlines()]

    with open(said, "wb") as out:
        first = subprocess.Popen([example("hand_over"), path], stdout=out, stderr=out)
    pids = []
    try:
        pids = lines(1)
        assert pids == [first.pid]
        inode = os.lstat(path).st_ino
        with Load(path, greeting="Hello from ") as load:
            for turn in range(5):
                load.reaches(pids[-1])
                os.kill(pids[-1], signal.SIGUSR2)
                pids = lines(turn + 2)
                load.reaches(pids[-1])
                ended(pids[-2], first)
        assert load.failures == []
        assert len(set(pids)) == 6 and ask(path, "Hello from ") == pids[-1]
        assert os.lstat(path).st_ino == inode
        os.kill(pids[-1], signal.SIGTERM)
        ended(pids[-1], first)
        assert not path.exists()
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            ended(pid, first, None)


def ended(pid, first, status=0):
    """Waits for its end and its exit status: orphans become this process's."""
    if pid == first.pid:
        code = first.wait(DEADLINE)
    else:
        wait_until(lambda: pid in {one for one, _, parent, _ in processes() if parent == os.getpid()})
        found = wait_until(lambda: ended_child(pid), what=f"the end of {pid}")
        code = os.waitstatus_to_exitcode(found[1])
    assert status is None or code == status


def ended_child(pid):
    found = os.waitpid(pid, os.WNOHANG)
    return found if found[0] == pid else None


def test_hand_over_example_without_a_successor(sockdir):
    """The one that handed over says so, and answers what it has."""
    program = sockdir / "hand_over"
    program.write_bytes(open(example("hand_over"), "rb").read())
    program.chmod(0o755)
    library = os.path.dirname(os.path.dirname(os.path.dirname(example("hand_over")))) + "/build"
    env = dict(os.environ, LD_LIBRARY_PATH=library)
    process = subprocess.Popen(
        [program, sockdir / "s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    try:
        assert "listening" in process.stdout.readline()
        program.unlink()
        process.send_signal(signal.SIGUSR2)
        assert process.wait(DEADLINE) == 1
        assert process.stderr.read() == "hand_over: the successor did not start\n"
    finally:
        process.kill()
        process.wait(DEADLINE)
        process.stdout.close()
        process.stderr.close()
