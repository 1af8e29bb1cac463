"""The C programs of README.md: they compile as shown, are as short as promised, and work."""

import os
import re
import signal
import socket

import pytest
from conftest import ROOT, Daemon, run, wait_until

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
CLIENT_LINES, SERVER_LINES = 15, 25
README = ROOT / "README.md"


def blocks():
    """(line number, text) of each ```c block."""
    text = README.read_text()
    for match in re.finditer(r"^```c\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start(1)) + 1, match[1]


def program(kind):
    """The one program of README.md that uses `kind`."""
    found = [text for _, text in blocks() if "int main(" in text and kind in text]
    assert len(found) == 1, f"{README} has {len(found)} programs with {kind}, not one"
    return found[0]


def client():
    return program("hysock_call_perform")


def server():
    return program("hysock_exchange_answer")


def compile_c(folder, name, text, *options):
    source, binary = folder / f"{name}.c", folder / name
    source.write_text(text)
    compiler = os.environ.get("CC", "cc").split()
    build = ROOT / "build"
    done = run(
        *[*compiler, *STRICT, "-O2", f"-I{ROOT / 'include'}", *options, "-o", binary, source],
        *[] if "-c" in options else [f"-L{build}", f"-Wl,-rpath,{build}", "-lhysock"],
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return binary


@pytest.mark.parametrize("line, text", list(blocks()) if README.exists() else [])
def test_each_c_block_compiles(tmp_path, line, text):
    """Also those that are no program: they must bring what they use."""
    compile_c(tmp_path, f"line{line}", text, *[] if "int main(" in text else ["-c"])


def test_client_is_short():
    assert len(client().splitlines()) <= CLIENT_LINES
    assert max(map(len, client().splitlines())) <= 100


def test_server_is_short():
    assert len(server().splitlines()) <= SERVER_LINES
    assert max(map(len, server().splitlines())) <= 100


def connects(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def test_client_and_server_talk(tmp_path, sockdir):
    """Each may name its socket in the code or take it as argument; both must mean the same."""
    texts = {"client": client(), "server": server()}
    address = re.compile(r'"((?:[^"\s]*/)?[\w.-]+\.sock)"')
    fixed = {name: address.findall(text) for name, text in texts.items()}
    assert fixed["client"] == fixed["server"], "README's client and server use different sockets"
    path = sockdir / "readme.sock"
    for name, text in texts.items():
        # The published address may be in use or in a folder that is not there: take our own.
        text = address.sub(f'"{path}"', text)
        compile_c(tmp_path, name, text)

    answer = re.search(r'hysock_exchange_answer\(.*?"text/plain[^"]*",\s*"([^"]*)"', server(), re.S)
    wanted = (answer[1] if answer else "Hello").replace("\\n", "\n").strip()
    with Daemon(tmp_path / "server", path, status=None) as daemon:
        wait_until(lambda: connects(path) or not daemon.alive(), what="the server listens")
        done = run(tmp_path / "client", path)
        assert done.returncode == 0, done.stdout + done.stderr + daemon.output
        assert wanted in done.stdout
        assert daemon.alive()
        # It needs no clean end to be a fair example, but it must not crash.
        assert daemon.stop(status=None) in (0, -signal.SIGTERM)

    done = run(tmp_path / "client", path)  # nobody is there now: an error, and it says which
    assert done.returncode != 0
    assert str(path) in done.stderr
