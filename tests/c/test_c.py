"""Builds the C programs and runs each of them plain, with sanitizers and under valgrind."""

import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DELIVERIES = ("pool", "inline", "queue")
VARIANTS = {"plain": 120, "asan": 240, "valgrind": 900}  # and the most seconds that a program takes

# Every program, with the arguments that it is run with.
PROGRAMS = {
    "test_null_matrix": [()],
    "test_handles": [()],
    "test_configs": [()],
    "test_drops": [(d,) for d in DELIVERIES],
    "test_server_basic": [(d,) for d in DELIVERIES],
    "test_routing": [(d,) for d in DELIVERIES],
    "test_hooks": [(d,) for d in DELIVERIES],
    "test_userdata": [(d,) for d in DELIVERIES],
    "test_server_badinput": [()],
    "test_client_basic": [(d,) for d in DELIVERIES],
    "test_client_again": [(d,) for d in DELIVERIES],
    "test_client_address": [()],
    "test_client_backlog": [(d,) for d in DELIVERIES],
    "test_client_connect": [(d,) for d in DELIVERIES],
    "test_client_patience": [(d,) for d in DELIVERIES],
    "test_client_ends": [(d,) for d in DELIVERIES],
    "test_client_hostile": [()],
    "test_client_streaming": [(d,) for d in DELIVERIES],
    "test_client_cuts": [()],
    "test_client_precision": [()],
    "test_client_pool": [()],
    "test_call_upgrade": [(d,) for d in DELIVERIES],
    "test_client_mix": [(d,) for d in DELIVERIES],
    "test_shutdown": [(d,) for d in DELIVERIES],
    "test_free": [(d,) for d in DELIVERIES],
    "test_gone": [(d,) for d in DELIVERIES],
    "test_streaming": [(d,) for d in DELIVERIES],
    "test_send_file": [(d,) for d in DELIVERIES],
    "test_upgrade": [(d,) for d in DELIVERIES],
    "test_messages": [(d,) for d in DELIVERIES],
    "test_message_pull": [()],
    "test_message_fds": [()],
    "test_fork": [()],
    "test_prefork": [()],
    "test_signals": [()],
    "test_start_faults": [()],
    "test_panic": [()],
    "test_queue": [()],
    "test_queue_edge": [()],
    "test_take": [()],
    "test_deadlines": [()],
    "test_timeouts": [(d,) for d in DELIVERIES],
    "test_exit_idle": [(d,) for d in DELIVERIES],
    "test_timer": [()],
    "test_reload": [(d,) for d in DELIVERIES],
    "test_errno": [()],
    "test_paths": [()],
    "test_limits": [()],
    "test_peer": [()],
    "test_refused": [(d,) for d in DELIVERIES],
    "test_races": [()],
    "test_stats": [(d,) for d in DELIVERIES],
    "test_listener": [(d,) for d in DELIVERIES],
    "test_starters": [()],
    "test_message_starters": [()],
}
RUNS = [(name, args) for name, all_args in PROGRAMS.items() for args in all_args]

VALGRIND = [
    "valgrind",
    "--quiet",
    "--fair-sched=yes",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
    "--error-exitcode=9",
]
# In a forked child, which ends by SIGKILL, an error does not reach the exit status.
REPORT = re.compile(r"==\d+== (Invalid |Conditional jump|Use of uninit|Syscall param|Mismatched)")

# System calls that a starting runtime makes, how each may fail, and which call of a thread does.
FAULTS = [
    ("clone,clone3", errno.EAGAIN, "1"),
    ("clone,clone3", errno.EAGAIN, "2"),
    ("clone,clone3", errno.EAGAIN, "3"),
    ("clone,clone3", errno.EAGAIN, "5"),
    ("clone,clone3", errno.EAGAIN, "1+"),
    ("eventfd2", errno.EMFILE, "1"),
    ("eventfd2", errno.ENFILE, "1+"),
    ("epoll_create1", errno.EMFILE, "1"),
    ("epoll_create1", errno.ENFILE, "1+"),
    ("epoll_create1", errno.ENOMEM, "1+"),
]


def tool(name):
    path = shutil.which(name)
    assert path, f"{name} is not installed: run scripts/setup"
    return path


def run(argv, timeout, **env):
    """Runs a program to its end: (exit status, all output). Beyond its time it fails."""
    with tempfile.TemporaryDirectory(prefix="hc-", dir="/tmp") as folder:
        everything = dict(os.environ, TMPDIR=folder, **env)
        process = subprocess.Popen(
            [str(arg) for arg in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=everything,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            pytest.fail(f"{argv} took more than {timeout} s\n{output.decode(errors='replace')}")
        return process.returncode, output.decode(errors="replace")


def run_variant(variant, program, args, **env):
    if variant == "valgrind":
        argv = [*VALGRIND, HERE / "bin/plain" / program, *args]
        tool("valgrind")
        env["CHECK_SLOW"] = "1"
    else:
        argv = [HERE / "bin" / variant / program, *args]
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1:exitcode=99")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    return run(argv, VARIANTS[variant], **env)


@pytest.fixture(scope="session", autouse=True)
def built():
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    argv = [tool("make"), "-C", str(HERE)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_program_is_run():
    assert {path.stem for path in HERE.glob("test_*.c")} == set(PROGRAMS)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("program", "args"), RUNS, ids=["-".join((n, *a)) for n, a in RUNS])
def test_program(program, args, variant):
    status, output = run_variant(variant, program, args)
    assert status == 0, f"exit status {status}\n{output}"
    assert not REPORT.search(output), output
    if variant == "plain":
        # The programs themselves say something only when they fail.
        assert output == "", "the library has printed"


@pytest.mark.parametrize("variant", ["plain", "asan"])
@pytest.mark.parametrize(("calls", "error", "when"), FAULTS)
def test_start_fault(calls, error, when, variant):
    name = errno.errorcode[error]
    with tempfile.TemporaryDirectory(prefix="hc-", dir="/tmp") as folder:
        trace = Path(folder, "trace")
        argv = [
            tool("strace"), "-f", "-qq", "-o", trace, "-e", f"trace={calls}",
            "-e", f"inject={calls}:error={name}:when={when}",
            HERE / "bin" / variant / "test_start_faults", str(error),
        ]  # fmt: skip
        # A leak checker cannot work where a tracer does.
        status, output = run(argv, VARIANTS[variant], ASAN_OPTIONS="detect_leaks=0")
        assert status == 0, f"exit status {status}\n{output}\n{trace.read_text()}"
        assert f"{name} " in trace.read_text()  # the fault did happen


# The tools bite: each planted bug is reported, and the same program without one is clean.
BITES = [
    ("asan", "overflow", "heap-buffer-overflow"),
    ("asan", "freed", "heap-use-after-free"),
    ("asan", "text", "heap-use-after-free"),
    ("asan", "leak", "LeakSanitizer: detected memory leaks"),
    ("asan", "overflow-int", "signed integer overflow"),
    ("valgrind", "overflow", "Invalid read"),
    ("valgrind", "freed", "Invalid read"),
    ("valgrind", "text", "Invalid read"),
    ("valgrind", "leak", "definitely lost"),
]


@pytest.mark.parametrize(("variant", "bug", "report"), BITES)
def test_planted_bug_is_reported(variant, bug, report):
    status, output = run_variant(variant, "planted", [bug])
    assert status != 0, output
    assert report in output, output


@pytest.mark.parametrize("variant", VARIANTS)
def test_program_without_a_bug_is_clean(variant):
    status, output = run_variant(variant, "planted", ["none"])
    assert status == 0, output
