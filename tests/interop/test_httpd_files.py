"""The files of examples-c/httpd, and that nothing else can be had, in both deliveries."""

import os
import socket

from httpd import Httpd, httpd


def test_files(httpd):
    content = os.urandom(2_000_000)
    (httpd.root / "deep" / "er").mkdir(parents=True)
    (httpd.root / "deep" / "er" / "a b.bin").write_bytes(content)
    (httpd.root / "page.html").write_text("<p>")
    (httpd.root / "empty").write_bytes(b"")
    status, headers, body = httpd.ask("/files/deep/er/a%20b.bin")
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert headers["content-length"] == "2000000" and headers["accept-ranges"] == "bytes"
    assert headers["etag"] and headers["last-modified"]
    assert body == content
    status, headers, body = httpd.ask("/files/page.html")
    assert (status, headers["content-type"], body) == (200, "text/html", b"<p>")
    assert httpd.ask("/files/page.html", "HEAD")[2] == b""
    status, headers, body = httpd.ask("/files/empty")
    assert (status, headers["content-length"], body) == (200, "0", b"")


def test_file_ranges_and_conditions(httpd):
    content = os.urandom(100_000)
    (httpd.root / "f").write_bytes(content)
    _, headers, _ = httpd.ask("/files/f")
    etag, modified = headers["etag"], headers["last-modified"]
    for given, piece in [
        ("0-0", content[:1]),
        ("99999-", content[-1:]),
        ("-10", content[-10:]),
        ("5-7", content[5:8]),
    ]:
        status, headers, body = httpd.ask("/files/f", headers={"Range": f"bytes={given}"})
        assert (status, body) == (206, piece), given
        assert headers["content-range"].endswith("/100000")
    status, headers, _ = httpd.ask("/files/f", headers={"Range": "bytes=100000-"})
    assert (status, headers["content-range"]) == (416, "bytes */100000")
    assert httpd.ask("/files/f", headers={"If-None-Match": etag})[::2] == (304, b"")
    assert httpd.ask("/files/f", headers={"If-Modified-Since": modified})[0] == 304
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert httpd.ask("/files/f", headers=headers)[::2] == (200, content)


def test_curl_goes_on_with_half_a_file(httpd, sockdir):
    content = os.urandom(500_000)
    (httpd.root / "f").write_bytes(content)
    (sockdir / "half").write_bytes(content[:123_456])
    httpd.curl("-C", "-", "-o", sockdir / "half", "http://localhost/files/f")
    assert (sockdir / "half").read_bytes() == content


def test_no_way_out_of_the_root(httpd, sockdir):
    (sockdir / "secret").write_text("secret")
    (httpd.root / "in").mkdir()
    (httpd.root / "in" / "ok").write_text("fine")
    (httpd.root / "abs").symlink_to(sockdir / "secret")
    (httpd.root / "rel").symlink_to("../secret")
    (httpd.root / "up").symlink_to("..")
    (httpd.root / "proc").symlink_to("/proc/self/root")
    (httpd.root / "inside").symlink_to("in/ok")
    (httpd.root / "loop").symlink_to("loop")
    assert httpd.ask("/files/in/ok")[2] == b"fine"
    assert httpd.ask("/files/inside")[2] == b"fine", "a link that stays inside is all right"
    assert httpd.ask("/files/in/../in/ok")[2] == b"fine", "so are dots"
    for path in [
        "../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "%2E%2E%2Fsecret",
        "in/../../secret",
        "in/%2e%2e%2f%2e%2e/secret",
        ".//..//secret",
        f"/{sockdir}/secret",
        f"{sockdir}/secret",
        f"%2F{sockdir}/secret",
        "abs",
        "rel",
        "up/secret",
        "up/root/in/ok",
        "proc/etc/passwd",
        "loop",
    ]:
        answer = httpd.raw(b"GET /files/%s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        status = int(answer.split(b" ")[1])
        assert status in (403, 404), (path, answer)
        assert b"secret" not in answer and b"root:" not in answer and b"fine" not in answer, path
        if "secret" in path and "/secret" != path[-7:]:
            assert status == 403, path


def test_no_file(httpd):
    (httpd.root / "folder").mkdir()
    (httpd.root / "plain").write_text("x")
    os.mkfifo(httpd.root / "fifo")  # opening it for reading would wait for a writer
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(httpd.root / "sock"))
    for path in "absent", "folder", "folder/", "fifo", "sock", "plain/", "plain/x", ".", "a" * 300:
        assert httpd.ask(f"/files/{path}")[0] == 404, path
    assert httpd.ask("/files/" + "a/" * 2500)[0] == 404, "longer than any path"
    assert httpd.ask("/files/plain%00.html")[0] == 400
    assert httpd.ask("/files/")[0] == 404


def test_without_root_there_are_no_files(sockdir):
    with Httpd(sockdir / "s") as server:
        assert server.ask("/files/etc/passwd")[0] == 404
