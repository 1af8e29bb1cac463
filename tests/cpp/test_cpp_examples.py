"""The programs of examples-cpp, run as their users would."""

import re
import signal

import pytest
from conftest import ROOT, Daemon, example_cpp, run, tool, wait_until

PROGRAMS = {"hello_server", "hello_client", "messages", "coroutines"}
DELIVERIES = ["pool", "inline", "queue"]


def test_every_example_is_here():
    assert {path.stem for path in (ROOT / "examples-cpp").glob("*.cpp")} == PROGRAMS


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_without_arguments_it_says_how(program):
    done = run(example_cpp(program))
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {program} ")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_hello(sockdir, delivery):
    path = sockdir / "s"
    with Daemon(
        example_cpp("hello_server"), path, "--delivery", delivery, ready=f"listening on {path}"
    ) as server:
        done = run(example_cpp("hello_client"), path, "/hello/you", "/hello/me", "/visits")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "200 Hello, you!\n200 Hello, me!\n200 2\n"
        # A handler that throws is a 500 for its client, and nothing to the others.
        done = run(example_cpp("hello_client"), path, "/number?n=41", "/number?n=x", "/hello/you")
        assert done.returncode == 0
        assert re.match(r"200 42\n500 .*\n200 Hello, you!\n$", done.stdout, re.S), done.stdout
        assert server.alive()
        curl = run(tool("curl"), "-s", "--unix-socket", path, "http://localhost/hello/curl%20too")
        assert curl.stdout == "Hello, curl too!\n"
        assert server.stop(number=signal.SIGINT) == 0
        assert "a handler threw: stoi" in server.output
    assert not path.exists()


def test_hello_server_says_what_is_wrong(sockdir):
    path = sockdir / "s"
    done = run(example_cpp("hello_server"), path, "--delivery", "nowhere")
    assert done.returncode == 1
    assert "pool, inline or queue" in done.stderr
    with Daemon(example_cpp("hello_server"), path, ready=f"listening on {path}") as server:
        done = run(example_cpp("hello_server"), path)
        assert done.returncode == 1
        assert f"pid {server.pid}" in done.stderr
        assert server.alive()


def test_hello_client_says_what_is_wrong(sockdir):
    done = run(example_cpp("hello_client"), sockdir / "absent")
    assert done.returncode == 1
    assert str(sockdir / "absent") in done.stderr


def test_messages(sockdir):
    done = run(example_cpp("messages"), sockdir / "s", "4", "1005", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        *[f"producer {id}: 1005" for id in range(4)],
        "4020 sent and read, 4020 received",
    ]


def test_coroutines(sockdir):
    done = run(example_cpp("coroutines"), sockdir / "s", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ["first", "second"]:
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"{name}: ")]
        assert lines[:2] == [f"{name}: 200 20 ms", f"{name}: 200 1 ms"]
        assert lines[2].startswith(f"{name}: 500 ")


def test_readme(sockdir, tmp_path):
    """Each C++ block of README.md compiles, and its program is a server."""
    blocks = re.findall(r"^```cpp\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks
    path = sockdir / "s"
    for number, text in enumerate(blocks):
        source, program = tmp_path / f"{number}.cpp", tmp_path / str(number)
        assert max(map(len, text.splitlines())) <= 100
        source.write_text(text.replace('"hello.sock"', f'"{path}"'))
        done = run(
            tool("g++"), "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
            f"-I{ROOT / 'include'}", source, "-o", program, f"-L{ROOT / 'build'}",
            f"-Wl,-rpath,{ROOT / 'build'}", "-lhysock", timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        with Daemon(program, status=None) as server:
            wait_until(lambda: path.exists() or not server.alive(), what="the server listens")
            done = run(example_cpp("hello_client"), path, "/")
            assert done.stdout == "200 Hello, world!\n", done.stderr + server.output
            server.stop(status=None)
