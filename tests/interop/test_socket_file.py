"""The life of a socket file, as other programs see it: who gets a path, with which mode and owner, and
what is never touched."""

import os
import signal
import socket
import stat
import subprocess

import pytest
from conftest import DEADLINE, Daemon, example, processes, run, tool
from sockets import ask, listener, program, refused, served  # noqa: F401
from test_syscalls import parse

NOBODY = 65534
as_root = os.geteuid() == 0


def leave_dead(path):
    listener(path).close()


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# ---- who gets the path ----


def test_a_live_socket_is_refused_with_who_has_it(program, served, sockdir):
    path = sockdir / "s"
    first = served(path)
    inode = os.lstat(path).st_ino
    text = refused(program, path)
    assert f"{path} is in use by pid {first.pid} (uid {os.geteuid()})" in text
    assert ask(path) == first.pid and os.lstat(path).st_ino == inode
    with listener(sockdir / "foreign"):
        text = refused(program, sockdir / "foreign")
        assert f"in use by pid {os.getpid()} (uid {os.geteuid()})" in text


def test_what_a_killed_server_left_is_replaced(program, sockdir):
    path = sockdir / "s"
    for _ in range(5):
        with Daemon(program, path, ready="serves") as server:
            assert ask(path) == server.pid
            server.send(signal.SIGKILL)
            server.wait(-signal.SIGKILL)
        assert path.exists()
    assert "stale" in refused(program, path, "--refuse")
    with Daemon(program, path, ready="serves"):
        pass
    assert not path.exists()


def test_only_its_own_file_is_cleaned_up(program, sockdir):
    path = sockdir / "s"
    with Daemon(program, path, ready="serves") as server:
        os.unlink(path)
        with listener(path) as theirs:
            inode = os.lstat(path).st_ino
            server.wait_line("was replaced", 5)
            server.stop()
            assert os.lstat(path).st_ino == inode
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                theirs.accept()[0].close()


@pytest.mark.parametrize("options", [(), ("--take-over",)], ids=["replace", "take-over"])
def test_what_is_no_socket_is_never_touched(program, sockdir, options):
    (sockdir / "file").write_text("precious")
    (sockdir / "dir").mkdir()
    os.mkfifo(sockdir / "fifo")
    leave_dead(sockdir / "dead")
    (sockdir / "link").symlink_to(sockdir / "dead")
    (sockdir / "dangling").symlink_to(sockdir / "nowhere")
    before = {entry.name: entry.inode() for entry in os.scandir(sockdir)}
    for name, what in [
        ("file", "a regular file"),
        ("dir", "a directory"),
        ("fifo", "a named pipe"),
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
    ]:
        assert f"{sockdir}/{name} is {what}" in refused(program, sockdir / name, *options)
    assert {entry.name: entry.inode() for entry in os.scandir(sockdir)} == before
    assert (sockdir / "file").read_text() == "precious"


def test_a_path_of_170_bytes(program, sockdir):
    folder = sockdir / ("d" * (170 - len(str(sockdir)) - 3))
    folder.mkdir()
    path = folder / "s"
    assert len(str(path)) == 170
    for options in [(), ("--take-over",)]:
        with Daemon(program, path, *options, ready="serves") as server:
            assert mode(path) == 0o600
            # curl takes 107 bytes, from here it needs one.
            done = run(tool("curl"), "-sS", "--unix-socket", "s", "http://x/", cwd=folder)
            assert done.stdout == f"{server.pid}\n", done.stderr
            done = run(example("request"), path, "/")
            assert done.stdout == f"{server.pid}\n", done.stderr
            assert f"by pid {server.pid}" in refused(program, path)
        assert not path.exists()
        leave_dead_in(folder)


def leave_dead_in(folder):
    """A dead file for the next start, by its name alone."""
    done = run(
        tool("python3"),
        "-c",
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('s'); s.listen()",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr


# ---- mode and owner ----

# What may change a file; a "?" is before calls that not every strace knows.
SEEN = (
    "socket,umask,fchmod,chmod,fchmodat,?fchmodat2,fchown,chown,lchown,fchownat,bind,listen,rename,"
    "renameat,renameat2"
)


def traced(program, path, umask, *options):
    """What a start does to the file system, and the file's mode while it serves."""
    out = path.parent / "trace"
    command = [tool("strace"), "-f", "-qq", "-e", f"trace={SEEN}", "-o", out]
    command += [program, path, *options]
    with Daemon(*command, ready="serves", umask=umask) as server:
        found = os.lstat(path)
        # strace passes no signal on: it is its child that has to get it.
        (child,) = [pid for pid, _, parent, _ in processes() if parent == server.pid]
        os.kill(child, signal.SIGTERM)
        server.wait(0)
    calls = list(parse(out))
    return calls, found


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("wanted", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("options", [(), ("--take-over",)], ids=["replace", "take-over"])
def test_the_file_is_born_with_its_mode(program, sockdir, umask, wanted, options):
    path = sockdir / "s"
    calls, found = traced(program, path, umask, "--mode", f"{wanted:o}", *options)
    assert stat.S_IMODE(found.st_mode) == wanted
    assert not [call for call in calls if call.name == "umask"], "it is the whole process's"
    names = [call.name for call in calls]
    bind = names.index("bind")
    fd = calls[bind].arguments.split(",")[0]
    # The mode is the socket's own before it has a file.
    before = [call for call in calls[:bind] if call.name == "fchmod"]
    assert before[-1].arguments == f"{fd}, {wanted:04o}"
    # Whatever comes after it adds what the umask took, and only before anybody can connect.
    after = [call for call in calls[bind:] if "chmod" in call.name]
    if wanted & ~umask == wanted:
        assert after == []
    else:
        (widening,) = after
        assert f"{wanted:04o}" in widening.arguments
        listens = next(i for i, call in enumerate(calls) if call.name == "listen")
        assert calls.index(widening) < listens
    assert len([name for name in names if "rename" in name]) == (1 if options else 0)


@pytest.mark.skipif(not as_root, reason="only root can give files away")
@pytest.mark.parametrize("options", [(), ("--take-over",)], ids=["replace", "take-over"])
def test_owner_and_group_are_given_before_the_group_may_connect(program, sockdir, options):
    path = sockdir / "s"
    more = ["--mode", "660", "--owner", "nobody", "--group", "4711"]
    calls, found = traced(program, path, 0, *more, *options)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, 4711, 0o660)
    bind = next(i for i, call in enumerate(calls) if call.name == "bind")
    born = calls[bind - 1]
    assert born.name == "fchmod" and born.arguments.endswith(" 0600"), "for the old group too"
    given, widened, listens = calls[bind + 1 : bind + 4]
    assert given.name == "fchownat" and f'"", {NOBODY}, 4711, AT_EMPTY_PATH' in given.arguments
    assert "chmod" in widened.name and "0660" in widened.arguments
    assert listens.name == "listen"


def test_a_group_that_is_not_there_is_named(program, sockdir):
    text = refused(program, sockdir / "s", "--group", "no-such-group")
    assert 'hysock_listener_config_set_group: there is no group named "no-such-group"' in text
    assert not list(sockdir.iterdir())


# ---- other users ----


def nobody(program):
    """The command that runs the program without root's rights."""
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [tool("setpriv"), *ids, program]


@pytest.mark.skipif(not as_root, reason="becomes another user")
def test_root_keeps_out_of_folders_where_anybody_may_replace_files(program, sockdir):
    path = sockdir / "s"
    sockdir.chmod(0o777)
    text = refused(program, path)
    assert str(sockdir) in text and "mode is 777" in text
    assert not list(sockdir.iterdir())
    with Daemon(program, path, "--unchecked", ready="serves"):
        pass
    (sockdir / ".s.lock").unlink()
    with Daemon(*nobody(program), path, ready="serves"):
        assert os.lstat(path).st_uid == NOBODY
    (sockdir / ".s.lock").unlink()
    sockdir.chmod(0o1777)
    with Daemon(program, path, ready="serves") as server:
        assert ask(path) == server.pid


@pytest.mark.skipif(not as_root, reason="becomes another user")
def test_files_of_other_users(program, sockdir):
    sockdir.chmod(0o1777)
    path = sockdir / "s"

    def refused_nobody(*options):
        command = nobody(program)
        return refused(command[0], *command[1:], path, *options)

    # Root's, alive: nobody may not even ask it, and does not take it for dead.
    with listener(path) as theirs:
        path.chmod(0o600)
        text = refused_nobody()
        assert "cannot tell whether" in text
        # Where it may be asked it is in use; taking it over takes rights on the folder.
        path.chmod(0o666)
        assert f"in use by pid {os.getpid()} (uid 0)" in refused_nobody()
        assert f"cannot take over {path}" in refused_nobody("--take-over")
        assert sorted(entry.name for entry in sockdir.iterdir()) == [".s.lock", "s"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        theirs.accept()[0].close()
    # Root's, dead, in a folder where only root may remove it.
    assert f"cannot remove the old socket file {path}" in refused_nobody()
    assert path.exists()
    # The other way round: the lock file is a user's, who could hold it for ever.
    text = refused(program, path)
    assert ".s.lock" in text and f"belongs to uid {NOBODY}" in text
    (sockdir / ".s.lock").unlink()
    # A user's dead socket is replaced, once root is told that it may.
    os.chown(path, NOBODY, NOBODY)
    with Daemon(program, path, ready="serves"):
        assert os.lstat(path).st_uid == 0


# ---- two starters ----


def test_of_two_starters_one_serves(program, sockdir):
    """Whole servers; test_starters.c has a thousand rounds of the start alone."""
    path = sockdir / "s"
    for turn in range(60):
        if turn % 2:
            leave_dead(path)
        starters = [
            subprocess.Popen([program, path], stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        try:
            lines = [starter.stderr.readline() for starter in starters]
            (winner,) = [one for one, line in zip(starters, lines, strict=True) if "serves" in line]
            (loser,) = [one for one in starters if one is not winner]
            (excuse,) = [line for line in lines if "serves" not in line]
            assert loser.wait(DEADLINE) == 1
            assert f"{path} is in use by pid {winner.pid}" in excuse
            assert ask(path) == winner.pid
        finally:
            for starter in starters:
                starter.terminate()
                starter.wait(DEADLINE)
                starter.stderr.close()
        assert winner.returncode == 0
        assert not path.exists()
