"""Other people's servers on a Unix socket, and servers that misbehave, for the interop suites.

Nothing here is a service: each runs in the test's own folder and ends with the test.
"""

import http.client
import os
import socket
import sys
import threading
from pathlib import Path

from conftest import DEADLINE, ROOT, run, tool, wait_until

# nginx lives where only root looks.
os.environ["PATH"] += ":/usr/sbin:/sbin"

HERE = Path(__file__).resolve().parent
HELLO = b"Hello, world!"
BIG = bytes(range(256)) * 12288  # 3 MiB


def compiled(folder, name):
    """NAME.c of this folder, compiled against the library in the tree: its path in `folder`."""
    done = run(
        *[tool("cc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"],
        *[f"-I{ROOT}/include", HERE / f"{name}.c", "-o", folder / name],
        *[f"-L{ROOT}/build", f"-Wl,-rpath,{ROOT}/build", "-lhysock", "-pthread"],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return folder / name


class UnixConnection(http.client.HTTPConnection):
    """Python's own HTTP client over a Unix socket. `connected` counts its connections."""

    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE)
        self.path = str(path)
        self.connected = 0

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
        self.connected += 1


def accepts(path):
    """Whether somebody accepts connections at path."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False


def wait_accepts(path, process, deadline=DEADLINE):
    """Waits until a program that announces nothing accepts connections."""

    def look():
        assert process.alive(), f"{process.argv} ended by itself\n{process.output}"
        return accepts(path)

    wait_until(look, deadline, f"{process.argv} listening on {path}")


def start_nginx(daemon, folder, sockets, extra=""):
    """nginx in `folder`; `sockets` maps a socket to the text of its server block, after `extra`."""
    (folder / "www").mkdir()
    (folder / "www" / "big").write_bytes(BIG)
    (folder / "www" / "empty").write_bytes(b"")
    servers = "\n".join(
        f"server {{ listen unix:{path}; root {folder}/www; {text} }}"
        for path, text in sockets.items()
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"""
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type text/plain;
    client_max_body_size 8m;
    client_body_temp_path {folder}/t1;
    proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4;
    scgi_temp_path {folder}/t5;
    {extra}
    {servers}
}}
"""
    )
    server = daemon(tool("nginx"), "-p", folder, "-c", config, "-e", "stderr")
    for path in sockets:
        wait_accepts(path, server)
    return server


def start_python(daemon, path, version="HTTP/1.1"):
    """Python's http.server on a Unix socket; see python_server.py for what it answers."""
    script = HERE / "python_server.py"
    return daemon(sys.executable, script, path, version, ready=f"listening on {path}", status=-15)


def read_head(connection):
    """One request head, as bytes, with what of the body came along; empty: the client has left."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return b""
        head += piece
    return head


class OddServer:
    """Accepts one connection after the other and hands each to `behave(connection)`.

    `release` is for behaviours that wait: it is set when the test is done.
    """

    def __init__(self, path, behave):
        self.heads = []
        self.release = threading.Event()
        self.failure = None
        self._behave = behave
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # shut down by __exit__
            with connection:
                connection.settimeout(DEADLINE)
                try:
                    self._behave(self, connection)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client may leave when it has seen enough
                except BaseException as failure:  # noqa: BLE001 - the test reports it
                    self.failure = failure

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        stuck = self._thread.is_alive()
        self._listener.close()
        if kind is None:
            assert not stuck, "the odd server is stuck"
            if self.failure is not None:
                raise self.failure


def answers(*pieces, stay=False):
    """A behaviour: reads one request, sends the pieces, closes; or stays silent until the end."""

    def behave(server, connection):
        head = read_head(connection)
        server.heads.append(head)
        for piece in pieces:
            connection.sendall(piece)
        if stay:
            server.release.wait(DEADLINE)

    return behave
