"""Docker's API as podman and dockerd give it, in a folder of the test's own, and what the examples
do with it. Nothing is pulled: the one image is a tar of busybox, made here."""

import contextlib
import io
import json
import os
import signal
import struct
import subprocess
import tarfile
from pathlib import Path

from conftest import Daemon, example, processes, run, tool, wait_until
from peers import compiled, wait_accepts

HOST = {"NetworkMode": "none"}
SLOW = 60.0  # seconds for what starts containers


def tar(files, links=()):
    """A tar in memory; files maps a name to its bytes."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as out:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            out.addfile(entry, io.BytesIO(content))
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            out.addfile(entry)
    return data.getvalue()


def image():
    busybox = Path(tool("busybox")).read_bytes()
    names = ("sh", "cat", "echo", "sleep")
    links = [(f"bin/{name}", "busybox") for name in names]
    return tar({"bin/busybox": busybox, "tmp/.keep": b""}, links)


def frames(data):
    """What a container has written, by stream, out of Docker's frames."""
    out = {1: b"", 2: b""}
    while data:
        stream, length = struct.unpack(">B3xI", data[:8])
        assert len(data) >= 8 + length, "a frame was cut"
        out[stream] += data[8 : 8 + length]
        data = data[8 + length :]
    return out[1], out[2]


class Api:
    """A daemon that speaks Docker's API, asked through the examples."""

    def __init__(self, socket, folder):
        self.socket = socket
        self.folder = folder
        self.ask = compiled(folder, "ask")

    def request(self, method, target, status, body=None):
        """One call by `request`: the answer's body."""
        options = ["-X", method, "-i"]
        if body is not None:
            options += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        done = run(example("request"), *options, self.socket, target, timeout=SLOW, text=False)
        assert done.returncode == 0, done.stderr
        head, _, answer = done.stdout.partition(b"\n\n")
        assert head.split()[1] == b"%d" % status, done.stdout
        return answer

    def upload(self, target, data, name):
        """POST of a tar, streamed from a file."""
        path = self.folder / name
        path.write_bytes(data)
        command = [self.ask, "-t", "application/x-tar", self.socket, "POST", target]
        with open(path, "rb") as body:
            done = run(*command, stdin=body, text=False, timeout=SLOW)
        assert done.returncode == 0 and b"status 200\n" in done.stderr, (done.stderr, done.stdout)
        return done.stdout

    def create(self, name, command, **more):
        body = {"Image": "hs-image", "Cmd": command, "HostConfig": HOST, **more}
        self.request("POST", f"/containers/create?name={name}", 201, body)

    def start(self, name):
        self.request("POST", f"/containers/{name}/start", 204)

    def wait(self, name):
        """Waits for a container's end: its exit status."""
        return json.loads(self.request("POST", f"/containers/{name}/wait", 200))["StatusCode"]

    def remove(self, name):
        self.request("DELETE", f"/containers/{name}?force=1", 204)

    def execute(self, container, *command, **options):
        """docker_exec: its CompletedProcess."""
        first = ["-i"] if "input" in options else []
        command = [example("docker_exec"), *first, self.socket, container, *command]
        return run(*command, timeout=SLOW, text=False, **options)


# What the daemons must do.


def check_life(api):
    """A container from its image to its removal, followed by logs and events."""
    assert json.loads(api.request("GET", "/containers/json?all=1", 200)) == []
    assert b"sha256:" in api.upload("/images/create?fromSrc=-&repo=hs-image", image(), "image.tar")
    with Daemon(example("docker_events"), api.socket, ready="listening", status=-15) as events:
        start_life(api, events)
    with open(api.folder / "err", "w+b") as err:
        command = [example("docker_logs"), "-f", str(api.socket), "hs-life"]
        logs = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err)
        assert logs.stdout.readline() == b"one\n"  # while the container runs
        assert logs.poll() is None
        check_exec(api)
        assert logs.wait(SLOW) == 0  # the last of it ends the container
        assert logs.stdout.read() == b"three\n"
        logs.stdout.close()
        err.seek(0)
        assert err.read() == b"two\n"
    assert api.wait("hs-life") == 0
    done = run(example("docker_logs"), api.socket, "hs-life")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\nthree\n", "two\n")
    api.remove("hs-life")
    done = run(example("docker_logs"), api.socket, "hs-life")
    assert (done.returncode, done.stdout) == (1, "") and "404" in done.stderr


def start_life(api, events):
    script = "echo one; echo two >&2; while [ ! -e /tmp/end ]; do sleep 0.05; done; echo three"
    api.create("hs-life", ["sh", "-c", script])
    api.start("hs-life")
    (running,) = json.loads(api.request("GET", "/containers/json", 200))
    assert running["Names"] == ["/hs-life"]
    for action in ("create", "start"):
        line = events.wait_line(f'"Action":"{action}"')
        assert json.loads(line)["Actor"]["Attributes"]["name"] == "hs-life"


def check_exec(api):
    done = api.execute("hs-life", "sh", "-c", 'echo out; echo "e\\r\'r" >&2; exit 7')
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"e\\r'r\n")
    # cat ends with our half of the connection, and what it has written still comes.
    assert api.execute("hs-life", "cat", input=b"back\n").stdout == b"back\n"
    large = os.urandom(1 << 20) * 3
    done = api.execute("hs-life", "cat", input=large)
    assert (done.returncode, done.stdout == large, done.stderr) == (0, True, b"")
    done = api.execute("absent", "cat")
    assert done.returncode == 125 and b"404" in done.stderr
    assert api.execute("hs-life", "sh", "-c", ": > /tmp/end").returncode == 0


def check_attach(api):
    """The connection of a container that reads and writes, in both of Docker's ways."""
    api.upload("/images/create?fromSrc=-&repo=hs-image", image(), "image.tar")
    program = compiled(api.folder, "hijack")
    for name, status, protocol in [("hs-101", "101\n", ["tcp"]), ("hs-200", "200\n", [])]:
        streams = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
        more = {"OpenStdin": True, "StdinOnce": True, **streams}
        api.create(name, ["sh", "-c", "cat; echo bye >&2"], **more)
        target = f"/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        command = [str(program), str(api.socket), "POST", target, *protocol]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, **pipes) as attached:
            if api.attaches_first:
                assert attached.stderr.readline().decode() == status
                api.start(name)
            out, err = attached.communicate(b"hello\n" * 1000, timeout=SLOW)
            assert attached.returncode == 0, err
        assert frames(out) == (b"hello\n" * 1000, b"bye\n")
        assert api.wait(name) == 0
        api.remove(name)


def check_build(api):
    """An image out of a context that is streamed."""
    api.upload("/images/create?fromSrc=-&repo=hs-image", image(), "image.tar")
    dockerfile = b'FROM hs-image\nCOPY file /file\nCMD ["cat", "/file"]\n'
    content = b"".join(b"%d\n" % n for n in range(100000))
    context = tar({"Dockerfile": dockerfile, "file": content})
    assert b"Successfully built" in api.upload("/build?t=hs-built", context, "context.tar")
    body = {"Image": "hs-built", "HostConfig": HOST}
    api.request("POST", "/containers/create?name=hs-built", 201, body)
    api.start("hs-built")
    assert api.wait("hs-built") == 0
    done = run(example("docker_logs"), api.socket, "hs-built", timeout=SLOW, text=False)
    assert done.stdout == content
    api.remove("hs-built")


# podman


PARTS = ("podman", "conmon", "runc", "containerd-shim")


def end_processes(folder):
    """Ends what podman has left running about this folder: its monitors, which stay for minutes,
    and what runs below them."""
    ours = set()
    for pid, _, _, _ in processes():
        with contextlib.suppress(OSError):
            words = Path("/proc", str(pid), "cmdline").read_text().split("\0")
            if Path(words[0]).name in PARTS and any(str(folder) in word for word in words):
                ours.add(pid)
    found = True
    while found:
        found = {p for p, _, parent, _ in processes() if parent in ours} - ours
        ours |= found
    for pid in ours:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return ours


def reap(ours=()):
    """Reaps what was ended, and what of a daemon's has ended by itself and come to us; False as
    long as some of it runs."""
    left = False
    for pid, _, parent, _ in processes():
        with contextlib.suppress(OSError, ChildProcessError):
            name = Path("/proc", str(pid), "comm").read_text().strip()
            if parent == os.getpid() and (pid in ours or name in PARTS):
                left |= os.waitpid(pid, os.WNOHANG)[0] == 0
    return not left


class Podman(Api):
    attaches_first = True

    def __init__(self, folder):
        super().__init__(folder / "podman.sock", folder)
        self.options = [
            *[tool("podman"), "--root", folder / "root", "--runroot", folder / "run"],
            *["--tmpdir", folder / "tmp", "--storage-driver", "vfs"],
            *["--cgroup-manager", "cgroupfs"],
        ]
        # By default podman keeps its locks in shared memory, for all podmans of the machine, and
        # wants higher limits than it may have here; crun refuses mixed cgroups.
        config = folder / "containers.conf"
        config.write_text(
            '[engine]\nlock_type = "file"\nruntime = "runc"\n'
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        )
        tool("runc")
        self.environment = dict(os.environ, CONTAINERS_CONF=str(config), HOME=str(folder))

    def run(self, *arguments):
        done = run(*self.options, *arguments, timeout=60, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextlib.contextmanager
    def serve(self):
        """podman's service, all of its state in our folder."""
        command = [*self.options, "system", "service", "--time=0", f"unix://{self.socket}"]
        with Daemon(*command, status=None, env=self.environment) as service:
            wait_accepts(self.socket, service, deadline=SLOW)
            yield self
        ours = end_processes(self.folder)
        wait_until(lambda: reap(ours), what="podman's monitors to end")
        unmount(self.folder)


def unmount(folder):
    """What a container or a daemon that was ended by force has left mounted below our folder."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if mount.startswith(f"{folder}/"):
            run(tool("umount"), "-l", mount)


