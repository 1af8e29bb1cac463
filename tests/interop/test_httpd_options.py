"""examples-c/httpd, option by option: bad ones are refused before anything happens."""

import contextlib
import os
import re
import stat
import time

import pytest
from conftest import DEADLINE, Daemon, example, run
from httpd import DELIVERIES, Httpd, as_nobody, read_all
from peers import HELLO

SLACK = 1.0  # seconds by which a deadline may be late


def refused(*argv, status):
    """Runs httpd, which must end by itself; its complaint."""
    done = run(example("httpd"), *argv)
    assert (done.returncode, done.stdout) == (status, ""), (argv, done.stderr)
    assert done.stderr.startswith("httpd: "), done.stderr
    return done.stderr


# Bad options


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["S", "T"],
        ["S", "--absent"],
        ["S", "--absent", "1"],
        ["S", "-v"],
        ["--mode", "0600"],
        ["S", "--mode"],
        *(["S", "--mode", bad] for bad in ("", "0", "1000", "08", "rw", "-1", "0600x", "7" * 50)),
        ["S", "--delivery", "thread"],
        ["S", "--delivery", ""],
        ["S", "--drain", "-1"],
        ["S", "--drain", "soon"],
        *(
            ["S", f"--{name}", bad]
            for name in ("max-connections", "max-body", "exit-on-idle", "head-timeout")
            + ("idle-timeout", "progress-timeout")
            for bad in ("0", "-1", "x", "1.5", "", "1 ", "18446744073709551616")
        ),
        ["S", "--head-timeout", "4294967296"],
        *(["S", "--allow-uid", bad] for bad in ("root", "-1", "4294967295", "")),
        ["S", *["--allow-uid", "1"] * 65],
    ],
    ids=" ".join,
)
def test_usage_errors(sockdir, argv):
    path = str(sockdir / "s")
    message = refused(*[path if word == "S" else word for word in argv], status=2)
    assert "usage: httpd SOCKET" in message
    if argv[1:2] == ["--absent"]:
        assert "there is no option --absent" in message
    elif len(argv) == 3:
        assert f'{argv[1]} does not take "{argv[2]}"' in message
    assert os.listdir(sockdir) == [], "something was made before the options were looked at"


def test_help(sockdir):
    done = run(example("httpd"), "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: httpd SOCKET")
    names = set(re.findall(r"--[a-z-]+", done.stdout))
    assert len(names) == 16
    for name in names:
        message = refused(sockdir / "s", name, "", "T", status=2)
        assert "no option" not in message, "the usage names an option that there is not"


def test_what_cannot_be_had(sockdir):
    path = sockdir / "s"
    assert "absent" in refused(path, "--root", sockdir / "absent", status=1)
    (sockdir / "file").write_text("")
    refused(path, "--root", sockdir / "file", status=1)
    assert "no-such-group" in refused(path, "--group", "no-such-group", status=1)
    assert "absent" in refused(path, "--settings", sockdir / "absent", status=1)
    assert "folder" in refused(path, "--access-log", sockdir / "folder" / "log", status=1)
    assert "file" in refused(sockdir / "file", status=1), "a file that is no socket is left alone"
    refused(sockdir / "no-folder" / "s", status=1)
    assert not path.exists()
    with Httpd(path) as server:
        assert str(server.pid) in refused(path, status=1), "in use by whom?"
        assert server.ask()[2] == HELLO


# The socket file


@pytest.mark.parametrize("mode", ["0600", "0660", "666", "0700"])
@pytest.mark.parametrize("umask", [0, 0o077])
def test_mode(sockdir, mode, umask):
    path = sockdir / "s"
    command = ["sh", "-c", f'umask {umask:03o}; exec "$0" "$@"', example("httpd"), path]
    with Daemon(*command, "--mode", mode, ready="listening"):
        assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)


def test_default_mode(sockdir):
    with Httpd(sockdir / "s"):
        assert stat.S_IMODE((sockdir / "s").stat().st_mode) == 0o600


def test_group(sockdir):
    group = max([os.getgid(), *os.getgroups()])
    with Httpd(sockdir / "s", "--group", str(group), "--mode", "0660"):
        assert (sockdir / "s").stat().st_gid == group


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file to any group")
def test_group_by_name(sockdir):
    with Httpd(sockdir / "s", "--group", "daemon"):
        assert (sockdir / "s").stat().st_gid == 1


def test_settings_that_stay_beside_the_defaults(sockdir):
    """Every option at once."""
    (sockdir / "settings").write_text("# none\n\n  max-body 5000 # bytes\n")
    options = "--mode 0600 --delivery pool --max-connections 10 --max-body 1000 --drain 100"
    options += " --head-timeout 1000 --idle-timeout 1000 --progress-timeout 1000 --takeover"
    options += f" --activation --exit-on-idle 60000 --allow-uid {os.getuid()} --allow-uid 7"
    options += f" --root {sockdir} --settings {sockdir}/settings --access-log {sockdir}/log"
    options += f" --group {os.getgid()}"
    with Httpd(sockdir / "s", *options.split()) as server:
        assert server.ask()[2] == HELLO


# Limits


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_max_connections(sockdir, delivery):
    with Httpd(sockdir / "s", "--max-connections", "2", delivery=delivery) as server:
        request = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
        with server.connect() as one, server.connect() as two:
            for client in (one, two):
                client.sendall(request)
                assert client.recv(4096).endswith(HELLO)
            with server.connect() as three:  # waits in the backlog
                three.sendall(request)
                three.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    three.recv(1)
                one.close()
                three.settimeout(DEADLINE)
                assert three.recv(4096).endswith(HELLO)


def test_max_body(sockdir):
    with Httpd(sockdir / "s", "--max-body", "1000") as server:
        assert server.ask("/hello", body=b"x" * 1000)[0] == 200
        assert server.ask("/hello", body=b"x" * 1001)[0] == 413
        assert server.ask("/echo", "POST", b"x" * 100_000)[0] == 200, "streams have no such limit"


def ends_after(connection, seconds, begin):
    """The server closes the connection that many seconds after `begin`, give or take SLACK."""
    left = read_all(connection)
    took = time.monotonic() - begin
    assert seconds - 0.3 <= took <= seconds + SLACK, took
    return left


@pytest.mark.parametrize("start", [b"", b"GET /hello HT"])
def test_head_timeout(sockdir, start):
    with Httpd(sockdir / "s", "--head-timeout", "700") as server, server.connect() as client:
        begin = time.monotonic()
        client.sendall(start)
        ends_after(client, 0.7, begin)
        assert server.ask()[2] == HELLO


def test_head_byte_by_byte(sockdir):
    with Httpd(sockdir / "s", "--head-timeout", "700") as server, server.connect() as client:
        begin = time.monotonic()
        client.settimeout(0.1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in b"GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: slow":
                client.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if not client.recv(1024):
                        break
        assert time.monotonic() - begin < 0.7 + SLACK


def test_idle_timeout(sockdir):
    with Httpd(sockdir / "s", "--idle-timeout", "700") as server, server.connect() as client:
        client.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).endswith(HELLO)
        assert ends_after(client, 0.7, time.monotonic()) == b""


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("target", ["/echo", "/digest"])
def test_progress_timeout_of_a_body(sockdir, delivery, target):
    options = ["--progress-timeout", "700"]
    with Httpd(sockdir / "s", *options, delivery=delivery) as server, server.connect() as client:
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        client.sendall(head.encode() + b"x" * 1000)
        ends_after(client, 0.7, time.monotonic())
        server.idle()


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_progress_timeout_of_a_reader(sockdir, delivery):
    options = ["--progress-timeout", "700"]
    with Httpd(sockdir / "s", *options, delivery=delivery) as server, server.connect() as client:
        client.sendall(b"GET /bytes/100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(10)
        begin = time.monotonic()
        server.idle()
        # The other connections of idle() end with their request; this one must end by itself.
        assert time.monotonic() - begin <= 0.7 + SLACK + 0.5
        assert len(read_all(client)) < 10_000_000


def test_handlers_may_take_longer_than_progress(sockdir):
    """Who waits for us owes nothing."""
    with Httpd(sockdir / "s", "--progress-timeout", "300", "--idle-timeout", "300") as server:
        assert server.ask("/slow/1500")[0] == 200
        assert server.ask("/events/2?interval_ms=900")[2].count(b"event: tick") == 2


# Who may talk


def test_allow_uid(sockdir):
    sockdir.chmod(0o755)
    code = ["-w", "%{http_code}", "-o", "/dev/null", "http://localhost/hello"]
    own = ["--mode", "0666", "--allow-uid", str(os.getuid())]
    with Httpd(sockdir / "s", *own) as server:
        assert server.ask()[0] == 200
        assert server.curl(*code, prefix=as_nobody()) == b"403"
    with Httpd(sockdir / "s", *own, "--allow-uid", "65534") as server:
        assert server.ask()[0] == 200
        assert server.curl(*code, prefix=as_nobody()) == b"200"


def test_allow_another_uid_only(sockdir):
    with Httpd(sockdir / "s", "--allow-uid", "4294967294") as server:
        status, headers, body = server.ask()
        assert (status, headers["connection"]) == (403, "close") and body
        assert server.ask("/absent")[0] == 403, "nobody learns what is there"
