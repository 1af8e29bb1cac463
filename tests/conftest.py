"""What the Python suites share: programs as children with deadlines, short socket folders.

    with Daemon(example("hello_server"), path, ready=f"listening on {path}") as server:
        ...                               # leaving the block: SIGTERM, exit status 0, nothing left
    done = run(example("request"), path, "/")           # a program that ends by itself
    def test_it(daemon, sockdir): daemon("nginx", ..., status=None)   # stopped after the test

Suites import the helpers with `from conftest import Daemon, example, run, tool` (so no second
conftest.py in a sub-folder). Every wait has a deadline, every child is reaped, and a test that
leaves a child behind fails.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 20.0  # seconds; generous, since it only bounds what has gone wrong

# Orphans of a daemon come to us instead of to init, which may not reap them in a container.
PR_SET_CHILD_SUBREAPER = 36
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def example(name):
    """The path of a program of examples-c; fails when it was not built."""
    path = ROOT / "examples-c" / "bin" / name
    assert path.is_file(), f"{path} is missing: run `make examples`"
    return str(path)


def example_cpp(name):
    """The path of a program of examples-cpp; fails when it was not built."""
    path = ROOT / "examples-cpp" / "bin" / name
    assert path.is_file(), f"{path} is missing: run `make examples`"
    return str(path)


def go_environment(**more):
    """The pinned Go toolchain's own folder, and what it needs to build offline with a cache of its own."""
    toolchain = Path(sysconfig.get_path("purelib")) / "go"
    assert (toolchain / "bin/go").exists(), "no Go toolchain: run scripts/setup"
    return toolchain, dict(
        os.environ,
        GOROOT=str(toolchain),
        GOTOOLCHAIN="local",
        GOFLAGS="-mod=mod",
        GOPROXY="off",
        GOCACHE=str(ROOT / "build/go-cache"),
        GOPATH=str(ROOT / "build/go-path"),
        CGO_ENABLED="1",
        **more,
    )


def tool(name):
    """The path of somebody else's program; fails when it is absent (a skip would hide it)."""
    path = shutil.which(name)
    assert path, f"{name} is not installed: run scripts/setup"
    return path


def wait_until(condition, deadline=DEADLINE, what="the condition"):
    """Waits for something that nobody announces; returns the first true value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.01)


def default_signals():
    # Python ignores SIGPIPE and SIGXFSZ, and children inherit that: give them the real thing.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def run(*argv, timeout=DEADLINE, text=True, **options):
    """Runs a program to its end, SIGPIPE at default: a CompletedProcess with stdout and stderr."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [str(arg) for arg in argv],
        timeout=timeout,
        text=text,
        preexec_fn=default_signals,
        check=False,
        **options,
    )


def processes():
    """(pid, state, parent, session) of every process, from /proc."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        state, parent, _group, session = stat[stat.rindex(")") + 2 :].split()[:4]
        yield int(entry), state, int(parent), int(session)


def children():
    """Our own children, zombies included."""
    return {pid for pid, _, parent, _ in processes() if parent == os.getpid()}


class Daemon:
    """A program that runs until it is told to stop, in a session of its own.

    stdout and stderr are read together, line by line, all the time: `lines`, `output`.
    """

    def __init__(self, *argv, ready=None, deadline=DEADLINE, status=0, **options):
        self.argv = [str(arg) for arg in argv]
        self.status = status  # the exit status that leaving the block expects; None = any
        self.deadline = deadline
        self.lines = []
        self._ended = False  # no more output will come
        self._news = threading.Condition()
        options.setdefault("stdin", subprocess.DEVNULL)
        self.process = subprocess.Popen(
            self.argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=default_signals,
            **options,
        )
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if ready is not None:
            try:
                self.wait_line(ready)
            except BaseException:
                self.kill()
                raise

    def _read(self):
        for raw in self.process.stdout:
            with self._news:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self):
        with self._news:
            return "\n".join(self.lines)

    def wait_line(self, text, deadline=None):
        """Waits for a line that contains `text`, and returns it."""
        deadline = self.deadline if deadline is None else deadline

        def find():
            return next((line for line in self.lines if text in line), None)

        with self._news:
            self._news.wait_for(lambda: find() is not None or self._ended, deadline)
            line = find()
            why = "ended" if self._ended else f"not within {deadline} s"
        assert line is not None, f"{self.argv}: no line {text!r}: {why}\n{self.output}"
        return line

    def alive(self):
        return self.process.poll() is None

    def send(self, number):
        assert self.alive(), f"{self.argv} has ended by itself\n{self.output}"
        self.process.send_signal(number)

    def wait(self, status=0, deadline=None):
        """Waits for its end; checks the exit status (None = any) and that nothing is left of it."""
        deadline = self.deadline if deadline is None else deadline
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.argv} did not end within {deadline} s\n{self.output}"
            ) from None
        left = self._sweep()
        self._close()
        assert not left, f"{self.argv} left processes behind: {left}\n{self.output}"
        if status is not None:
            assert code == status, f"{self.argv}: exit status {code}, not {status}\n{self.output}"
        return code

    def stop(self, status=0, number=signal.SIGTERM, deadline=None):
        """Sends the signal to the living program, then `wait`."""
        self.send(number)
        return self.wait(status, deadline)

    def kill(self):
        """The hard way, for tests that have failed already. May be repeated."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
        self._sweep()
        self._close()

    def _sweep(self):
        """Ends and reaps what remains of its session; returns what was still running."""
        left = []
        for pid, state, parent, session in processes():
            if session != self.pid:
                continue
            if state != "Z":
                left.append(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if parent == os.getpid():
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass
        return left

    def _close(self):
        self._reader.join(DEADLINE)
        assert not self._reader.is_alive(), f"{self.argv}: somebody still holds its output"
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.kill()
            print(f"--- output of {self.argv}\n{self.output}")
        elif self.process.returncode is None:
            self.stop(self.status)


@pytest.fixture(autouse=True)
def no_child_left():
    """Each test ends the children that it started. Set up first, so checked last."""
    before = children()
    yield
    left = children() - before
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    assert not left, f"children left behind: {left}"


@pytest.fixture
def sockdir():
    """A new folder with a path short enough for any socket (sun_path holds 107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(no_child_left, sockdir):
    """`daemon(*argv, ready=..., status=0)` starts a Daemon that is stopped after the test."""
    started = []

    def start(*argv, **options):
        started.append(Daemon(*argv, **options))
        return started[-1]

    yield start
    problems = []
    for one in reversed(started):
        try:
            if one.process.returncode is None:
                one.stop(one.status)
        except AssertionError as problem:
            problems.append(str(problem))
            one.kill()
    assert not problems, "\n".join(problems)
