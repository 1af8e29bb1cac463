"""What the library asks of the kernel, seen by strace: how many calls a request costs, and that
nothing of the process is touched that is not the library's own."""

import collections
import os
import re
import signal
import socket

import pytest
from conftest import DEADLINE, ROOT, Daemon, example, processes, run, tool
from peers import HELLO, UnixConnection

N = 300
Call = collections.namedtuple("Call", "thread name arguments result")


def parse(trace):
    """The calls of a `strace -f -o` file, in the order of their ends, put together where split.

    Calls that never returned (a thread that ended in one) are left out."""
    begun = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, rest = line.split(maxsplit=1)
        if rest.startswith(("+++", "---")):
            continue
        if resumed := re.match(r"<\.\.\. (\w+) resumed>(.*)", rest):
            rest = begun.pop(thread) + resumed[2]
        elif rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        call = re.match(r"(\w+)\((.*)\)\s+= (.*)$", rest)
        assert call, f"a line that is no call: {line!r}"
        yield Call(thread, call[1], call[2], call[3])


def marks(calls):
    """The position of each mark of warm_perform."""
    found = {}
    for position, call in enumerate(calls):
        if call.name == "write" and (text := re.match(r'-1, "([a-z ]+)"', call.arguments)):
            found[text[1]] = position
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """warm_perform, compiled against the library in the tree."""
    out = tmp_path_factory.mktemp("warm") / "warm_perform"
    done = run(
        tool("cc"),
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-O2",
        f"-I{ROOT}/include",
        ROOT / "tests" / "interop" / "warm_perform.c",
        "-o",
        out,
        f"-L{ROOT}/build",
        f"-Wl,-rpath,{ROOT}/build",
        "-lhysock",
        "-pthread",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def trace(program, daemon, sockdir):
    """Runs warm_perform under strace: its calls."""

    def run_it(*options):
        path = sockdir / "s"
        daemon(example("hello_server"), path, ready=f"listening on {path}")
        out = sockdir / "trace"
        command = [tool("strace"), "-f", "-qq", "-s", "64", "-o", out, program, path, N, *options]
        done = run(*command, timeout=60)
        assert (done.returncode, done.stdout) == (0, f"{N} answers\n"), done.stderr
        return list(parse(out))

    return run_it


both = pytest.mark.parametrize("options", [(), ("runtime",)], ids=["bare", "runtime"])


@both
def test_a_warm_request_costs_two_system_calls(trace, options):
    calls = trace(*options)
    at = marks(calls)
    window = calls[at["calls begin"] + 1 : at["calls end"]]
    caller = calls[at["calls begin"]].thread
    others = [call for call in window if call.thread != caller]
    assert others == [], "another thread woke for a blocking call"
    names = [call.name for call in window]
    assert names == names[:2] * N, collections.Counter(names)
    assert names[0] in ("sendto", "sendmsg", "send") and names[1] in ("recvfrom", "recvmsg", "recv")
    descriptors = {call.arguments.split(",")[0] for call in window}
    assert len(descriptors) == 1, "the connection was not kept"
    sent, received = window[:2]
    assert "MSG_NOSIGNAL" in sent.arguments and "MSG_DONTWAIT" in sent.arguments
    assert "GET / HTTP/1.1" in sent.arguments
    assert received.result.split()[0].isdigit()


def test_without_a_runtime_there_is_no_thread(trace):
    calls = trace()
    assert len({call.thread for call in calls}) == 1
    assert not [call for call in calls if call.name in ("clone", "clone3", "fork", "vfork")]


def test_with_a_runtime_there_are_threads(trace):
    """What the test above looks for can be found."""
    calls = trace("runtime")
    assert len({call.thread for call in calls}) > 1
    assert [call for call in calls if call.name in ("clone", "clone3")]


# Calls that make a descriptor, and what in their arguments closes it on exec.
MAKES = {
    "socket": "SOCK_CLOEXEC",
    "socketpair": "SOCK_CLOEXEC",
    "accept4": "SOCK_CLOEXEC",
    "accept": None,  # has no way to: never to be used
    "epoll_create1": "EPOLL_CLOEXEC",
    "epoll_create": None,
    "eventfd2": "EFD_CLOEXEC",
    "eventfd": None,
    "timerfd_create": "TFD_CLOEXEC",
    "open": "O_CLOEXEC",
    "openat": "O_CLOEXEC",
    "memfd_create": "MFD_CLOEXEC",
    "pidfd_open": "",  # always
    "dup": None,
    "dup2": None,
    "dup3": "O_CLOEXEC",
    "pipe2": "O_CLOEXEC",
    "pipe": None,
}
# Calls whose first argument is a number, but no descriptor.
NO_DESCRIPTOR = set(
    "brk mmap munmap mprotect mremap madvise futex exit exit_group rt_sigprocmask rt_sigaction "
    "sigaltstack getrandom sched_yield sched_getaffinity set_robust_list rseq prctl arch_prctl "
    "clone clone3 gettid getpid clock_nanosleep clock_gettime nanosleep prlimit64 set_tid_address "
    "getrlimit rt_sigreturn restart_syscall tgkill kill tkill access readlink statx lstat stat "
    "geteuid getuid getgid getegid sysinfo membarrier sched_setaffinity uname getcwd".split()
)


def pairs(call):
    """The descriptors that socketpair or pipe2 gave."""
    return re.search(r"\[(\d+), (\d+)\]", call.arguments).groups()


@both
def test_only_descriptors_of_its_own(trace, options):
    """Each descriptor that the library uses was made by it, with CLOEXEC, and gets closed."""
    calls = trace(*options)
    at = marks(calls)
    sections = (
        ("library begins", "library rests"),
        ("calls begin", "calls end"),
        ("library goes on", "library ends"),
    )
    own, used = set(), 0
    for begin, end in sections:
        for call in calls[at[begin] + 1 : at[end]]:
            first = call.arguments.split(",")[0].strip()
            if call.name in MAKES or (call.name == "fcntl" and "F_DUPFD" in call.arguments):
                if not call.result.split()[0].lstrip("-").isdigit() or call.result.startswith("-1"):
                    continue
                flag = MAKES.get(call.name, "F_DUPFD_CLOEXEC")
                assert flag is not None and flag in call.arguments, f"survives an exec: {call}"
                own.update(
                    pairs(call)
                    if call.name in ("socketpair", "pipe2")
                    else [call.result.split()[0]]
                )
            elif call.name in NO_DESCRIPTOR:
                continue
            elif call.name == "poll" or call.name == "ppoll":
                assert set(re.findall(r"fd=(-?\d+)", call.arguments)) <= own, f"not its own: {call}"
            elif call.name == "newfstatat" and first == "AT_FDCWD":
                continue
            else:
                assert first in own, f"a descriptor that is not the library's: {call}"
                used += 1
                if call.name == "epoll_ctl":
                    assert call.arguments.split(",")[2].strip() in own, f"not its own: {call}"
                if call.name == "close":
                    own.remove(first)
    assert used >= 2 * N
    assert own == set(), "descriptors were left open"


def changed_dispositions(calls):
    """The signals whose disposition was set (asking for it has NULL there)."""
    found = []
    for call in calls:
        if call.name in ("rt_sigaction", "signal", "signalfd4"):
            number, new = call.arguments.split(", ", 1)
            if not new.startswith("NULL"):
                found.append(number)
    return found


# glibc installs this one at the first pthread_create of any program, for setuid.
GLIBC = {"SIGRT_1"}


@both
def test_no_signal_disposition_is_changed_by_a_client(trace, options):
    assert set(changed_dispositions(trace(*options))) <= GLIBC


@pytest.mark.parametrize("delivery", ["pool", "inline", "queue"])
def test_no_signal_disposition_is_changed_by_a_server(sockdir, delivery):
    """hello_server sets SIGTERM and SIGINT by itself, once each: there is nothing beyond that."""
    path, out = sockdir / "s", sockdir / "trace"
    calls = "trace=rt_sigaction,signalfd4,rt_sigprocmask,clone,clone3,kill,tgkill,tkill"
    command = [tool("strace"), "-f", "-qq", "-e", calls, "-o", out]
    command += [example("hello_server"), path, "--delivery", delivery]
    with Daemon(*command, ready=f"listening on {path}") as server:
        client = UnixConnection(path)
        for _ in range(10):
            client.request("GET", "/")
            assert client.getresponse().read() == HELLO
        client.close()
        # strace passes no signal on: it is hello_server, its child, that has to get it.
        (traced,) = [pid for pid, _, parent, _ in processes() if parent == server.pid]
        os.kill(traced, signal.SIGTERM)
        server.wait(0)
    found = list(parse(out))
    changed = [number for number in changed_dispositions(found) if number not in GLIBC]
    assert sorted(changed) == ["SIGINT", "SIGTERM"]
    assert not [call for call in found if call.name in ("kill", "tgkill", "tkill")]
    threads = {call.thread for call in found if call.name in ("clone", "clone3")}
    assert threads, "the trace saw nothing"


def accepted(calls):
    """For each connection that was accepted, what was asked of epoll for it until it was closed."""
    found, open_now = [], {}
    for call in calls:
        if call.name == "accept4" and call.result.isdigit():
            open_now[call.result] = []
            found.append(open_now[call.result])
        elif call.name == "epoll_ctl":
            _, what, fd = call.arguments.split(", ")[:3]
            open_now.get(fd, []).append(what)
        elif call.name == "close":
            open_now.pop(call.arguments, None)
    return found


def test_a_connection_that_need_not_wait_is_never_registered(sockdir):
    """Its request is there when it is accepted, and it ends with the answer."""
    path, out = sockdir / "s", sockdir / "trace"
    strace = [tool("strace"), "-f", "-qq", "-o", out]
    command = [example("hello_server"), path, "--delivery", "inline"]
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def connect():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(DEADLINE)
        s.connect(str(path))
        return s

    def answer(s):
        with s:
            whole = b"".join(iter(lambda: s.recv(4096), b""))
        assert whole.startswith(b"HTTP/1.1 200 ") and whole.endswith(HELLO), whole

    with Daemon(*strace, *command, ready=f"listening on {path}") as server:
        (child,) = [pid for pid, _, parent, _ in processes() if parent == server.pid]
        os.kill(child, signal.SIGSTOP)
        early = [connect() for _ in range(20)]
        for s in early:
            s.sendall(request)
        os.kill(child, signal.SIGCONT)
        for s in early:
            answer(s)
        late = connect()
        # A later one has been answered: it was seen to have nothing to say.
        second = connect()
        second.sendall(request)
        answer(second)
        late.sendall(request)
        answer(late)
        os.kill(child, signal.SIGTERM)
        server.wait(0)
    asked = accepted(parse(out))
    assert len(asked) == 22
    assert asked[:20] == [[]] * 20
    assert asked[20] == ["EPOLL_CTL_ADD", "EPOLL_CTL_DEL"]
