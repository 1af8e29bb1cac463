"""hysock's client with bodies of any size, against other people's servers."""

import hashlib
import os
import subprocess
import sys

import pytest
from conftest import DEADLINE, example, run
from peers import OddServer, compiled, read_head, start_nginx, wait_accepts

SIZE = 20_000_000
SERVER = r"""
import hashlib, http.server, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        # A body in chunks is read by hand: http.server does not know them.
        digest, length, trailers = hashlib.sha256(), self.headers.get("Content-Length"), ""
        if length is not None:
            left = int(length)
            while left > 0:
                piece = self.rfile.read(min(left, 65536))
                digest.update(piece)
                left -= len(piece)
        else:
            while size := int(self.rfile.readline(), 16):
                digest.update(self.rfile.read(size))
                self.rfile.readline()
            while (line := self.rfile.readline()) != b"\r\n":
                trailers += line.decode().strip()
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-End")
        self.end_headers()
        for text in digest.hexdigest(), " ", str(self.headers.get("Expect")), " ", trailers:
            if text:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text.encode()))
        self.wfile.write(b"0\r\nX-End: yes\r\n\r\n")

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

Server(sys.argv[1], Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "content"
    path.write_bytes(os.urandom(1 << 20) * 19 + b"x" * (SIZE - (19 << 20)))
    return path


def test_files_go_to_nginx_and_come_back(daemon, sockdir, content):
    path = sockdir / "n"
    text = "client_max_body_size 0; location /in/ { dav_methods PUT; create_full_put_path on; }"
    start_nginx(daemon, sockdir, {path: text, sockdir / "few": "client_max_body_size 1k;"})
    back = sockdir / "back"
    for number, source in enumerate([content, "-"]):
        with open(content, "rb") as stdin:
            done = run(example("request"), "-T", source, path, f"/in/{number}", stdin=stdin)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (sockdir / "www" / "in" / str(number)).read_bytes() == content.read_bytes()
        done = run(example("request"), "-o", back, path, f"/in/{number}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert back.read_bytes() == content.read_bytes()
        done = run(example("request"), "-N", path, f"/in/{number}", text=False)
        assert done.stdout == content.read_bytes()
    # nginx answers before it has read all, and what is no success is no file.
    done = run(example("request"), "-T", content, "-o", back, sockdir / "few", "/")
    assert done.returncode == 0
    assert "413" in done.stdout and done.stderr == "request: HTTP status 413\n"
    assert back.read_bytes() == b""


@pytest.mark.parametrize("how", ["perform", "pool", "inline"])
def test_python_gets_bodies_and_trailers(daemon, sockdir, how):
    path = sockdir / "p"
    server = daemon(sys.executable, "-c", SERVER, path, status=-15)
    wait_accepts(path, server)
    program = compiled(sockdir, "upload")
    digest = hashlib.sha256(bytes(at % 251 for at in range(3_000_001))).hexdigest()
    for known in "known", "chunked":
        for expect in "expect", "plain":
            done = run(program, path, how, "3000001", known, expect)
            assert (done.returncode, done.stderr) == (0, "")
            heard = ["100", "103"] if expect == "expect" else ["103"]
            asked = "100-continue" if expect == "expect" else "None"
            trailer = "x-sum: 7" if known == "chunked" else ""
            assert done.stdout.splitlines() == [*heard, f"200 {digest} {asked} {trailer}", "yes"]


def test_a_stream_is_printed_as_it_comes(sockdir):
    path = sockdir / "s"

    def behave(server, connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        # It goes on when the first piece was seen.
        assert server.release.wait(DEADLINE)
        connection.sendall(b"4\r\ntwo\n\r\n0\r\n\r\n")

    with OddServer(path, behave) as server:
        argv = [example("request"), "-N", path, "/"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"one\n"
            server.release.set()
            rest, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, rest, errors) == (0, b"two\n", b"")
