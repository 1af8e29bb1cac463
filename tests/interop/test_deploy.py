"""The files of deploy/ with the real programs: systemd's checks and its socket activation, nginx and
HAProxy in front of two instances of examples-c/httpd, of which one ends under load.
"""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess

import pytest
from conftest import DEADLINE, ROOT, example, run, tool, wait_until
from peers import HELLO, UnixConnection

DEPLOY = ROOT / "deploy"
REQUESTS = 20_000

# ---- systemd ----


@pytest.fixture
def units(tmp_path):
    """The units as an instance called 1, with the program from the tree."""
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/usr/local/bin/httpd", example("httpd"))
        for name in (unit.name, unit.name.replace("@", "@1")):
            (tmp_path / name).write_text(text)
    return tmp_path


def test_units_are_valid(units):
    for name in ("httpd@1.socket", "httpd@1.service"):
        done = run(tool("systemd-analyze"), "verify", "--man=no", units / name)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_mistake_in_a_unit_is_seen(units):
    unit = units / "httpd@1.service"
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHomes=yes"))
    done = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    assert "ProtectHomes" in done.stderr


def test_the_service_is_hardened(units):
    done = run(
        tool("systemd-analyze"), "security", "--no-pager", "--offline=yes", "--threshold=10",
        units / "httpd@1.service",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    text = (units / "httpd@1.service").read_text()
    for setting in (
        "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_UNIX",
        "MemoryDenyWriteExecute=yes",
    ):
        assert f"\n{setting}\n" in text


def get(path, target="/hello"):
    connection = UnixConnection(path)
    connection.request("GET", target)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body


def test_socket_activation(daemon, sockdir):
    """The manager's socket is served, and is still there afterwards."""
    path = sockdir / "s"
    server = daemon(
        tool("systemd-socket-activate"), "--listen", path, "--fdname=http",
        example("httpd"), path, "--activation", "--drain", "10000", ready="Listening on",
    )  # fmt: skip
    inode = path.stat().st_ino
    for _ in range(3):
        assert get(path) == HELLO
    server.stop()
    assert path.stat().st_ino == inode, "the socket is the manager's, not the daemon's"


# ---- proxies ----


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def tls(sockdir):
    """A folder with a key and a certificate."""
    folder = sockdir / "tls"
    folder.mkdir()
    done = run(
        tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", folder / "key.pem",
        "-out", folder / "cert.pem",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pem = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "site.pem").write_text(pem)
    return folder


def nginx(daemon, folder, port):
    """nginx with deploy/nginx/httpd.conf, whose paths and port are the test's."""
    text = (DEPLOY / "nginx" / "httpd.conf").read_text()
    for here, there in {
        "/run/httpd/": f"{folder}/",
        "/etc/nginx/tls/": f"{folder}/tls/",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
    }.items():
        assert here in text
        text = text.replace(here, there)
    (folder / "httpd.conf").write_text(text)
    temp = "\n".join(
        f"{name}_temp_path {folder}/t-{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; worker_processes 2;\n"
        f"error_log {folder}/nginx.log warn; events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; {temp} include {folder}/httpd.conf; }}\n"
    )
    return daemon(tool("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr")


def haproxy(daemon, folder, port):
    """HAProxy with deploy/haproxy/haproxy.cfg, whose paths and port are the test's."""
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    for here, there in {
        "unix@/run/httpd/": f"unix@{folder}/",
        "/etc/haproxy/tls/": f"{folder}/tls/",
        "bind :443 ": f"bind 127.0.0.1:{port} ",
    }.items():
        assert here in text
        text = text.replace(here, there)
    (folder / "haproxy.cfg").write_text(text)
    command = [tool("haproxy"), "-db", "-f", folder / "haproxy.cfg"]
    checked = run(*command, "-c")
    assert checked.returncode == 0 and "[WARNING]" not in checked.stderr, checked.stderr
    return daemon(*command, status=-signal.SIGTERM)


def open_tls(port):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE, context=context)


def ask(port, target, method="GET", body=None):
    connection = open_tls(port)
    connection.request(method, target, body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def wait_proxy(port, proxy):
    def look():
        assert proxy.alive(), proxy.output
        try:
            return ask(port, "/hello")[0] == 200
        except OSError:
            return False

    wait_until(look, what="the proxy")


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
def proxied(request, daemon, sockdir, tls):
    """A proxy in front of two instances: its port, and the instances by their sockets."""
    sockets = [sockdir / "1.sock", sockdir / "2.sock"]
    instances = {path: instance(daemon, path) for path in sockets}
    port = free_port()
    wait_proxy(port, request.param(daemon, sockdir, port))
    return port, instances


def instance(daemon, path):
    return daemon(example("httpd"), path, "--mode", "0660", ready=f"listening on {path}")


def requests_of(path):
    text = get(path, "/metrics").decode()
    return int(re.search(r"^hysock_server_requests_total (\d+)$", text, re.M)[1])


def test_proxies_pass_requests_on(proxied):
    port, instances = proxied
    body = os.urandom(20_000)
    assert ask(port, "/hello") == (200, HELLO)
    assert ask(port, "/echo", "POST", body) == (200, body)
    status, digest = ask(port, "/digest", "POST", body * 50)
    assert (status, json.loads(digest)["bytes"]) == (200, 1_000_000)
    status, stream = ask(port, "/bytes/1000000")
    assert (status, stream) == (200, (bytes(range(251)) * 4000)[:1_000_000])
    assert ask(port, "/metrics")[0] == 403
    assert ask(port, "/admin")[0] == 403
    assert ask(port, "/nowhere")[0] == 404
    for _ in range(8):
        assert ask(port, "/hello")[0] == 200
    for path in instances:
        assert requests_of(path) > 1, f"{path} got nothing"


@pytest.fixture
def load(tmp_path):
    """`load(port, target, requests, body)` starts h2load; `outcome` of it is what was lost."""
    started = []

    def start(port, target, requests, body=None):
        command = [tool("h2load"), "-n", str(requests), "-c", "20", "-m", "4"]
        if body is not None:
            data = tmp_path / "body"
            data.write_bytes(body)
            command += ["-d", str(data)]
        command.append(f"https://127.0.0.1:{port}{target}")
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def outcome(process):
    """(succeeded, failed, answers of 2xx) of a load that has ended."""
    output, _ = process.communicate(timeout=120)
    found = re.search(
        r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, \d+ errored, "
        r"\d+ timeout\nstatus codes: (\d+) 2xx",
        output,
    )
    assert found and process.returncode == 0, output
    return tuple(map(int, found.groups()))


def test_one_of_two_instances_ends_under_load(proxied, daemon, load):
    port, instances = proxied
    first, second = instances
    gets = load(port, "/hello", REQUESTS * 3 // 4)
    posts = load(port, "/echo", REQUESTS // 4, b"x" * 500)
    wait_until(lambda: requests_of(first) > 1_500, what="load on the first instance")
    instances[first].stop()
    assert not first.exists()
    assert gets.poll() is None, "the load was over before the instance was"
    assert outcome(gets) == (REQUESTS * 3 // 4, 0, REQUESTS * 3 // 4)
    assert outcome(posts) == (REQUESTS // 4, 0, REQUESTS // 4)
    assert requests_of(second) > REQUESTS // 4

    # It comes back, and is used again.
    instance(daemon, first)
    before = requests_of(first)
    wait_until(
        lambda: ask(port, "/hello")[0] == 200 and requests_of(first) > before + 5,
        what="requests to the instance that is back",
    )
