"""hysock's client against daemons that are too heavy, or too much of a system's part, for every run
of the tests: `make test-daemons`. Each runs in the test's own folder, as root, and pulls nothing.

dockerd         with its own containerd; all that podman must do in test_foreign_servers.py
cupsd           which answers no Host but localhost
snapd           in a mount namespace with a /run and a /var/lib/snapd of its own
supervisord     XML-RPC and logs without an end, over its control socket

dockerd needs cgroups that it may write to, and the right to mount: in a container without these
nothing starts, and the test fails with what the daemon said. What snapd wants of the network (its
store) and of the kernel (AppArmor) is not needed here.
"""

import contextlib
import json
import os
import signal
import subprocess
import xmlrpc.client
from pathlib import Path

import pytest
from conftest import Daemon, example, run, tool, wait_until
from containers import SLOW, Api, check_attach, check_build, check_life, reap, unmount
from peers import compiled, wait_accepts

os.environ["PATH"] += ":/usr/sbin:/sbin:/usr/lib/snapd"


def answer(socket, target, *options):
    """`request -i`: status and body of the answer."""
    done = run(example("request"), "-i", *options, socket, target, timeout=SLOW)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition("\n\n")
    return int(head.split()[1]), body


# dockerd


class Docker(Api):
    attaches_first = True

    def __init__(self, folder):
        super().__init__(folder / "docker.sock", folder)

    @contextlib.contextmanager
    def serve(self):
        folder = self.folder
        config = folder / "containerd.toml"
        config.write_text(
            f'version = 2\nroot = "{folder}/c"\nstate = "{folder}/cs"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{folder}/containerd.sock"\n'
        )
        with Daemon(tool("containerd"), "--config", config, deadline=SLOW) as containerd:
            wait_accepts(folder / "containerd.sock", containerd, deadline=SLOW)
            command = [
                *[tool("dockerd"), "-H", f"unix://{self.socket}"],
                *["--containerd", folder / "containerd.sock", "--data-root", folder / "data"],
                *["--exec-root", folder / "exec", "--pidfile", folder / "pid"],
                *["--iptables=false", "--ip6tables=false", "--bridge=none"],
                "--storage-driver=vfs",
            ]
            with Daemon(*command, deadline=SLOW) as dockerd:
                wait_accepts(self.socket, dockerd, deadline=SLOW)
                yield self
        wait_until(reap, what="what dockerd has started to end")
        unmount(folder)


@pytest.fixture
def docker(sockdir):
    with Docker(sockdir).serve() as one:
        yield one


def test_docker_life(docker):
    assert answer(docker.socket, "/_ping") == (200, "OK")
    check_life(docker)


def test_docker_attach(docker):
    check_attach(docker)


def test_docker_build(docker):
    check_build(docker)


# cupsd


@pytest.fixture
def cups(daemon, sockdir):
    socket = sockdir / "cups.sock"
    (sockdir / "tmp").mkdir()
    (sockdir / "root").mkdir()
    (sockdir / "root" / "index.html").write_text("a page\n")
    (sockdir / "cupsd.conf").write_text(
        f"Listen {socket}\nLogLevel warn\n<Location />\nOrder allow,deny\nAllow all\n</Location>\n"
    )
    folders = {
        **{"ServerRoot": "", "RequestRoot": "spool", "CacheDir": "cache", "StateDir": "state"},
        **{"TempDir": "tmp", "DocumentRoot": "root"},
    }
    lines = [f"{name} {sockdir}/{folder}" for name, folder in folders.items()]
    lines += ["AccessLog stderr", "ErrorLog stderr", "PageLog stderr"]
    (sockdir / "cups-files.conf").write_text("\n".join(lines) + "\n")
    command = ["-f", "-c", sockdir / "cupsd.conf", "-s", sockdir / "cups-files.conf"]
    wait_accepts(socket, daemon(tool("cupsd"), *command), deadline=SLOW)
    return socket


def ipp(operation, *attributes):
    """An IPP request (RFC 8010): its bytes."""
    text = b"\x02\x00" + operation.to_bytes(2, "big") + b"\x00\x00\x00\x01\x01"
    given = [(0x47, b"attributes-charset", b"utf-8"), (0x48, b"attributes-natural-language", b"en")]
    for tag, name, value in [*given, *attributes]:
        text += bytes([tag]) + len(name).to_bytes(2, "big") + name
        text += len(value).to_bytes(2, "big") + value
    return text + b"\x03"


def test_cups(cups, sockdir):
    # The client's own default: a server that is picky about Host is content.
    assert answer(cups, "/index.html") == (200, "a page\n")
    assert answer(cups, "/index.html", "-H", "Host: elsewhere")[0] == 400
    assert answer(cups, "/absent")[0] == 404
    # Get-Printers, which there are none of.
    question = ipp(0x4002)
    options = ["-t", "application/ipp", "-l", len(question)]
    ask = compiled(sockdir, "ask")
    done = run(ask, *options, cups, "POST", "/", input=question, text=False)
    assert done.returncode == 0 and b"status 200\n" in done.stderr, done.stderr
    version, status = done.stdout[:2], int.from_bytes(done.stdout[2:4], "big")
    assert (version, status) == (b"\x02\x00", 0x0406), done.stdout  # client-error-not-found


# snapd


@pytest.fixture
def snapd(sockdir):
    (sockdir / "run").mkdir()
    (sockdir / "lib").mkdir()
    script = (
        f"mount --bind {sockdir}/run /run && mount --bind {sockdir}/lib /var/lib/snapd && "
        f"exec {tool('snapd')}"
    )
    Path("/var/lib/snapd").mkdir(exist_ok=True)
    command = [tool("unshare"), "--mount", "--propagation", "private", "sh", "-c", script]
    with Daemon(*command, status=None, deadline=SLOW) as service:
        socket = sockdir / "run" / "snapd.socket"
        wait_accepts(socket, service, deadline=SLOW)
        yield socket


def test_snapd(snapd):
    status, body = answer(snapd, "/v2/system-info")
    told = json.loads(body)
    assert (status, told["status-code"], told["type"]) == (200, 200, "sync")
    assert told["result"]["on-classic"] is True
    status, body = answer(snapd, "/v2/snaps")
    assert (status, json.loads(body)["result"]) == (200, [])
    status, body = answer(snapd, "/v2/snaps/absent")
    assert (status, json.loads(body)["result"]["kind"]) == (404, "snap-not-found")
    body = ["-X", "POST", "-H", "Content-Type: application/json", "-d", '{"action": "none"}']
    status, body = answer(snapd, "/v2/snaps/absent", *body)
    assert (status, json.loads(body)["type"]) == (400, "error")
    done = run(example("many_calls"), snapd, 500, 16, timeout=SLOW)
    assert done.returncode == 0 and done.stdout.startswith("500 answers, 0 errors"), done


# supervisord


@pytest.fixture
def supervisor(daemon, sockdir):
    socket = sockdir / "s.sock"
    (sockdir / "s.conf").write_text(
        f"[unix_http_server]\nfile={socket}\n"
        f"[supervisord]\nnodaemon=true\nlogfile={sockdir}/s.log\npidfile={sockdir}/s.pid\n"
        "user=root\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[program:talker]\ncommand=sh -c 'echo first; cat {sockdir}/fifo'\n"
        f"stdout_logfile={sockdir}/talker.log\nstartsecs=0\nautorestart=false\n"
    )
    os.mkfifo(sockdir / "fifo")
    wait_accepts(socket, daemon(tool("supervisord"), "-c", sockdir / "s.conf"), deadline=SLOW)
    return socket


def test_supervisor(supervisor, sockdir):
    def rpc(method, *arguments):
        text = xmlrpc.client.dumps(arguments, method)
        options = ["-X", "POST", "-H", "Content-Type: text/xml", "-d", text]
        status, body = answer(supervisor, "/RPC2", *options)
        assert status == 200
        return xmlrpc.client.loads(body)[0][0]

    assert rpc("supervisor.getState")["statename"] == "RUNNING"
    assert rpc("supervisor.getProcessInfo", "talker")["name"] == "talker"
    with pytest.raises(xmlrpc.client.Fault, match="BAD_NAME"):
        rpc("supervisor.getProcessInfo", "absent")
    # A log without an end: what is written comes while the connection is open.
    wait_until(lambda: (sockdir / "talker.log").read_text() == "first\n")
    command = [str(compiled(sockdir, "ask")), str(supervisor), "GET", "/logtail/talker"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as tail:
        assert tail.stdout.readline() == b"first\n"
        (sockdir / "fifo").write_text("second\n")
        assert tail.stdout.readline() == b"second\n"
        assert tail.poll() is None
        tail.send_signal(signal.SIGTERM)
