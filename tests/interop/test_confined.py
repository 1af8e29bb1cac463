"""What the library needs of the system, as docs/deployment.md and deploy/systemd say it: which calls and
files, measured; that these are enough, enforced; life without /proc; and privileges that are dropped late.
"""

import os
import re
import signal
import socket
import struct
import sys
from pathlib import Path

import pytest
from conftest import DEADLINE, ROOT, Daemon, example, processes, run, tool
from peers import HELLO, UnixConnection, compiled
from test_syscalls import parse

GUIDE = ROOT / "docs" / "deployment.md"
UNIT = ROOT / "deploy" / "systemd" / "httpd@.service"
SANDBOX = Path(__file__).with_name("sandbox.py")
NOBODY = 65534


def ask(path, method, target, body=None, headers=None):
    connection = UnixConnection(path)
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def workout(path, folder):
    """Requests of every kind that httpd knows."""
    big = os.urandom(1 << 20)
    (folder / "file").write_bytes(big)
    assert ask(path, "GET", "/hello") == (200, HELLO)
    assert b"1048576" in ask(path, "POST", "/digest", big)[1]
    assert ask(path, "POST", "/echo", iter([b"a", b"b"])) == (200, b"ab")
    assert len(ask(path, "GET", "/bytes/300000")[1]) == 300_000
    assert ask(path, "GET", "/files/file") == (200, big)
    assert ask(path, "GET", "/files/file", headers={"Range": "bytes=5-9"}) == (206, big[5:10])
    for target in ("/items/7", "/peer", "/headers", "/slow/20", "/metrics", "/admin"):
        assert ask(path, "GET", target)[0] == 200, target
    assert ask(path, "GET", "/events/2?interval_ms=5")[1].count(b"data:") == 2
    assert ask(path, "GET", "/nowhere")[0] == 404
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(DEADLINE)
        raw.connect(str(path))
        raw.sendall(b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += raw.recv(4096)
        assert seen.startswith(b"HTTP/1.1 101 "), seen
        raw.sendall(b"ping")
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(4096) == b"ping"
        assert raw.recv(4096) == b""


@pytest.fixture
def folder(sockdir):
    """What httpd serves below /files."""
    (sockdir / "root").mkdir()
    return sockdir / "root"


def httpd(path, folder):
    return [example("httpd"), path, "--root", folder]


def traced(command, out, body, *options):
    """Runs a daemon under strace while `body` runs; its calls."""
    strace = [tool("strace"), "-f", "-qq", "-s", "200", "-o", out, *options]
    with Daemon(*strace, *command, ready="listening on ") as server:
        body()
        # strace passes no signal on: its child has to get it.
        (child,) = [pid for pid, _, parent, _ in processes() if parent == server.pid]
        os.kill(child, signal.SIGTERM)
        server.wait(0)
    return list(parse(out))


@pytest.fixture
def calls(sockdir, folder):
    """The system calls of httpd, and of clients, at all that they do."""
    path, out = sockdir / "s", sockdir / "trace"
    found = traced(httpd(path, folder), out, lambda: workout(path, folder))
    far = sockdir / ("d" * 120)
    far.mkdir()
    for socket_path in (path, far / "s"):
        command = [example("hello_server"), socket_path]

        def client(socket_path=socket_path):
            for program in (["request", socket_path, "/"], ["many_calls", socket_path, "20"]):
                trace = sockdir / "client"
                done = run(
                    tool("strace"), "-f", "-qq", "-s", "200", "-o", trace,
                    example(program[0]), *program[1:],
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                found.extend(parse(trace))

        found += traced(command, out, client)
    return found


def documented(section):
    """What stands in `code` in the table of that section of the guide."""
    text = GUIDE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    found = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert found and len(found) == len(set(found)), found
    return set(found)


def allowed(group):
    """The system calls of one of systemd's groups."""
    done = run(tool("systemd-analyze"), "syscall-filter", group)
    assert done.returncode == 0, done.stderr
    found = set()
    for line in done.stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            found |= allowed(name)
        elif name and not name.startswith("#"):
            found.add(name)
    return found


def test_the_guide_lists_the_calls_and_the_filter_has_them(calls):
    made = {call.name for call in calls}
    listed = documented("System calls")
    assert made - listed == set()
    assert {"accept4", "recvfrom", "sendto", "epoll_wait", "futex"} <= made, "the trace saw little"
    assert listed - allowed("@system-service") == set()


def test_the_only_sockets_are_unix_sockets(calls):
    families = {call.arguments.split(",")[0] for call in calls if call.name.startswith("socket")}
    assert families == {"AF_UNIX"}


def test_no_memory_is_writable_and_executable(calls):
    for call in calls:
        if call.name in ("mmap", "mprotect", "pkey_mprotect"):
            assert not ("PROT_WRITE" in call.arguments and "PROT_EXEC" in call.arguments), call
            assert call.name == "mmap" or "PROT_EXEC" not in call.arguments, call


def test_the_guide_lists_the_files(calls, sockdir):
    """All that is opened but the socket's folder, what httpd serves, and the loader's files."""
    listed = documented("Files")
    opened = set()
    for call in calls:
        if call.name in ("open", "openat") and not call.result.startswith("-1"):
            path = re.search(r'"([^"]*)"', call.arguments)[1]
            if path.startswith("/") and not path.startswith((str(sockdir), str(ROOT))):
                opened.add(re.sub(r"\d+", "N", path) if path.startswith("/proc/") else path)
    opened = {path for path in opened if not re.search(r"\.so(\.|$)", path)}
    opened.discard("/etc/ld.so.cache")
    assert opened - listed == set()


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EPERM"])
def test_files_are_sent_without_sendfile_too(sockdir, folder, error):
    """strace plays the file system that cannot, and the sandbox that does not let."""
    path, content = sockdir / "s", os.urandom(3_000_000)
    (folder / "file").write_bytes(content)

    def body():
        connection = UnixConnection(path)
        for _ in range(2):
            connection.request("GET", "/files/file")
            assert connection.getresponse().read() == content
        connection.close()

    inject = ["-e", f"inject=sendfile:error={error}"]
    calls = traced(httpd(path, folder), sockdir / "trace", body, *inject)
    tried = [call.result for call in calls if call.name == "sendfile"]
    assert len(tried) == 2 and all(error in result for result in tried), tried


# ---- enforced ----


@pytest.fixture(scope="module")
def numbers():
    """The numbers of this machine's system calls."""
    done = run(tool("cc"), "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null")
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.M)
    assert len(found) > 200, done.stderr
    return dict(found)


def filter_of_unit():
    (group,) = re.findall(r"^SystemCallFilter=(\S+)$", UNIT.read_text(), re.M)
    return allowed(group)


@pytest.fixture
def confined(daemon, sockdir, folder, numbers):
    """`confined(names)` starts httpd where only these calls are allowed."""

    def start(names, **options):
        path, listed = sockdir / "s", sockdir / "allowed"
        named = ("socket", "mmap", "mprotect")
        listed.write_text(
            "".join(
                f"{name if name in named else ''} {numbers[name]}\n"
                for name in sorted(names & numbers.keys())
            )
        )
        command = [sys.executable, SANDBOX, listed, *httpd(path, folder)]
        return path, daemon(*command, **options)

    return start


def test_httpd_lives_with_the_filters_of_its_unit(confined, folder):
    path, server = confined(filter_of_unit(), ready="listening on ")
    workout(path, folder)
    server.stop()


@pytest.mark.parametrize("missing", ["accept4", "listen", "epoll_ctl"])
def test_the_filter_bites(confined, missing):
    """Without a call that it needs httpd dies of SIGSYS."""
    path, server = confined(filter_of_unit() - {missing}, status=None)
    if missing == "accept4":
        server.wait_line("listening on ")
        with pytest.raises((OSError, ConnectionError)):
            ask(path, "GET", "/hello")
    assert server.wait(None) == -signal.SIGSYS


# ---- without /proc ----


def test_without_proc(daemon, sockdir):
    """In a mount namespace whose /proc is empty all works but paths over 107 bytes, which say so."""
    path, far = sockdir / "s", sockdir / ("d" * 120)
    far.mkdir()
    # The loader finds $ORIGIN by /proc, so it has to be told.
    script = 'mount -t tmpfs none /proc && LD_LIBRARY_PATH="$0" exec "$@"'
    inside = [tool("unshare"), "--map-root-user", "--mount", "sh", "-c", script, ROOT / "build"]
    seen = run(*inside, "ls", "-A", "/proc")
    assert (seen.returncode, seen.stdout) == (0, ""), seen.stderr

    daemon(*inside, example("hello_server"), path, ready=f"listening on {path}")
    done = run(*inside, example("request"), path, "/")
    assert done.returncode == 0 and HELLO.decode() in done.stdout, done.stderr

    done = run(*inside, example("hello_server"), far / "s")
    assert done.returncode != 0 and "needs /proc mounted" in done.stderr
    daemon(example("hello_server"), far / "s", ready="listening on ")
    done = run(*inside, example("request"), far / "s", "/")
    assert done.returncode != 0 and "needs /proc mounted" in done.stderr


# ---- privileges dropped after the start ----


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("dropped"), "dropped")


def as_user(uid, path):
    """GET /uid as that user: status and body."""
    done = run(
        tool("setpriv"), f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
        tool("curl"), "-sS", "-m", "15", "--unix-socket", path, "-w", "%{http_code} ",
        "-o", "-", "http://x/uid",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_drop_of_privileges_after_the_start_changes(daemon, dropped, sockdir):
    # Who is not root has nothing to drop: the test needs it, in a container or with sudo.
    assert os.geteuid() == 0, "run as root"
    sockdir.chmod(0o755)
    path = sockdir / "s"
    server = daemon(dropped, path, NOBODY, ready="listening on ")

    for task in Path(f"/proc/{server.pid}/task").iterdir():
        assert f"\nUid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n" in (task / "status").read_text()
    # "Self" is the user of now; a client sees the one that listened.
    assert as_user(NOBODY, path) == f"{NOBODY}200 "
    assert as_user(0, path).endswith("403 ")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        record = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert struct.unpack("3i", record) == (server.pid, 0, 0)

    # The file belongs to who made it, and so does its lock: it stays, a log line says why.
    server.stop()
    assert path.is_socket()
    assert any(".s.lock" in line and f"uid {NOBODY}" in line for line in server.lines)
    # The next one finds it dead and takes its place.
    again = daemon(dropped, path, NOBODY, ready="listening on ")
    assert as_user(NOBODY, path) == f"{NOBODY}200 "
    again.stop()
