"""How the bench runs one program and measures it: pinned, started anew each time, ended and reaped.

The program under test runs on core 0 and whatever talks to it on core 1, so that its CPU time is its own.
"""

import json
import os
import pwd
import re
import resource
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE / "bin"
DEADLINE = 60.0  # seconds, for whatever should end by itself
LATENCIES = ("p50_us", "p99_us", "p999_us")

NGINX = """
daemon off; master_process off; worker_processes 1; pid {D}/pid; error_log {D}/error.log;
worker_rlimit_nofile 30000;
events {{ worker_connections 12000; accept_mutex off; }}
http {{
  access_log off; keepalive_requests 1000000000; default_type text/plain; sendfile on; tcp_nopush on;
  client_max_body_size 0; client_body_buffer_size 2m; keepalive_timeout 600s;
  client_body_temp_path {D}/t1; proxy_temp_path {D}/t2; fastcgi_temp_path {D}/t3;
  uwsgi_temp_path {D}/t4; scgi_temp_path {D}/t5;
  server {{
    listen unix:{S} backlog=4096;
    location = / {{ return 200 "Hello, world!"; }}
    location = /file {{ alias {F}; }}
  }}
}}
"""

H2O = """
user: {U}
listen: {{ port: {S}, type: unix }}
num-threads: 1
max-connections: 20000
http1-request-timeout: 600
error-log: {D}/error.log
pid-file: {D}/pid
hosts:
  default:
    paths:
      "/file": {{ file.file: {F} }}
      "/": {{ file.dir: {D}/www }}
"""


class Failed(Exception):
    """A peer did not do its work: the run is void."""


def pinned(core, argv, **options):
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, argv)], **options)


def more_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """A server on a socket in a folder of its own, for the time of a `with`."""

    def __init__(self, command, core=0, file=None):
        self.command, self.core, self.file = command, core, file

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="bench-")
        folder = Path(self.folder.name)
        self.path = str(folder / "s")
        values = {"D": folder, "S": self.path, "F": self.file or "/dev/null",
                  "U": pwd.getpwuid(os.getuid()).pw_name}
        argv = self.command
        if argv == "nginx":
            (folder / "nginx.conf").write_text(NGINX.format(**values))
            argv = f"nginx -c {folder}/nginx.conf -p {folder} -e {folder}/error.log"
        elif argv == "h2o":
            (folder / "www").mkdir()
            (folder / "www" / "index.html").write_text("Hello, world!")
            (folder / "h2o.conf").write_text(H2O.format(**values))
            argv = f"h2o -m worker -c {folder}/h2o.conf"
        argv = [str(word).format(**values) for word in shlex.split(argv)]
        self.errors = open(folder / "stderr", "w+b")
        begin = time.monotonic()
        self.process = pinned(
            self.core, argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors
        )
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        self.start_ms = (time.monotonic() - begin) * 1e3
        return self

    def wait_ready(self):
        end = time.monotonic() + 20
        while True:
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    return s.connect(self.path)
                except OSError:
                    if self.process.poll() is not None or time.monotonic() > end:
                        self.errors.seek(0)
                        said = self.errors.read().decode(errors="replace")
                        raise Failed(f"{self.command} does not listen: {said}") from None
            time.sleep(0.0001)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        self.folder.cleanup()


def load(server, options, core=1):
    """One run of the load generator; what it says."""
    argv = [BIN / "load", server.path, "--pid", server.process.pid, *shlex.split(options)]
    child = pinned(core, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = child.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise Failed(f"{server.command}: load did not end") from None
    if child.returncode != 0:
        raise Failed(f"{server.command}: {errors.strip()}")
    return json.loads(out)


def cpu_ns(pid):
    """Of all threads of another process: its CPU clock, as clock_getcpuclockid(3) names it."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def ticks(pid):
    """Its time in user and in the kernel, in clock ticks: fields 14 and 15, after the name in field 2."""
    return [int(word) for word in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]]


def memory_kb(pid, what):
    return int(re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def h2load(server, requests, connections, core=1):
    """The second opinion: one run of nghttp2's load generator, with what the server used meanwhile."""
    pid, log = server.process.pid, f"{server.folder.name}/h2load"
    argv = ["h2load", "--h1", "-n", requests, "-c", connections, f"--base-uri=unix:{server.path}",
            f"--log-file={log}", "http://localhost/"]
    cpu, before, begin = cpu_ns(pid), ticks(pid), time.monotonic()
    child = pinned(core, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        out = child.communicate(timeout=DEADLINE)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise Failed(f"{server.command}: h2load did not end") from None
    wall, used, after = time.monotonic() - begin, (cpu_ns(pid) - cpu) / requests / 1e3, ticks(pid)
    if child.returncode != 0 or f"{requests} succeeded, 0 failed" not in out:
        raise Failed(f"{server.command}: h2load: {out}")
    laps = sorted(int(line.split()[2]) for line in open(log))
    user, system = after[0] - before[0], after[1] - before[1]
    user_part = user / (user + system) if user + system else 0
    return {
        "cpu_us": used, "user_us": used * user_part, "system_us": used * (1 - user_part), "per_s": requests / wall,
        "p50_us": laps[len(laps) // 2], "p99_us": laps[len(laps) * 99 // 100], "p999_us": laps[len(laps) * 999 // 1000],
        "peak_kb": memory_kb(pid, "VmHWM"),
    }


def run_client(argv, core):
    """Runs a client to its end: CPU seconds in user and kernel, seconds by the clock, peak KiB, and what it said."""
    child = pinned(core, [BIN / "used", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = child.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise Failed(f"{argv[0]} did not end") from None
    if child.returncode != 0:
        raise Failed(f"{argv[0]}: status {child.returncode}: {out} {errors}")
    return json.loads(errors.splitlines()[-1]) | {"out": out}


def calls(server, command, n, core):
    """A client's cost for one call: a run of n calls less a run of a tenth, so that its start does not count."""
    few = n // 10
    argv = lambda count: [str(word).format(S=server.path, N=count, B=BIN) for word in shlex.split(command)]
    short, long = run_client(argv(few), core), run_client(argv(n), core)
    each = {key: (long[key] - short[key]) / (n - few) * 1e6 for key in ("user", "system", "wall")}
    latencies = re.search(r"^latency (\S+) (\S+) (\S+)$", long["out"], re.M)
    return {
        "cpu_us": each["user"] + each["system"],
        "user_us": each["user"],
        "system_us": each["system"],
        "per_s": 1e6 / each["wall"],
        "wall_us": each["wall"],
        "peak_kb": long["peak_kb"],
    } | dict(zip(LATENCIES, map(float, latencies.groups() if latencies else ())))


def download(server, command, size, core):
    """A client's throughput and cost for one answer of so many bytes; its start is part of it."""
    argv = [str(word).format(S=server.path, B=BIN) for word in shlex.split(command)]
    used = run_client(argv, core)
    if f"{size} bytes" not in used["out"]:
        raise Failed(f"{command}: {used['out']}")
    gib = size / (1 << 30)
    return {
        "gib_s": gib / used["wall"], "cpu_ms": (used["user"] + used["system"]) / gib * 1e3,
        "user_ms": used["user"] / gib * 1e3, "system_ms": used["system"] / gib * 1e3, "peak_kb": used["peak_kb"],
    }


def carried(program):
    """Bytes of a program and of the libraries that it brings along: all but those of the C compiler."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    paths = [Path(path) for path in re.findall(r"=> (/\S+)", out)]
    own = [path for path in paths if not re.match(r"lib(c|m|gcc_s|pthread|dl|rt|resolv)\.so", path.name)]
    return {"bytes": sum(path.stat().st_size for path in [Path(program), *own])}


def ended(child, deadline):
    """What is left of a child's output; it is killed at the deadline."""
    try:
        return child.communicate(timeout=max(0.0, deadline - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        return None


def messages(program, kind, batch, total, producers=4, gap_ns=0, idle=0):
    """One receiver, some producers, as separate processes on both cores: what the receiver says, its own CPU time too.

    With a gap one producer sends a message each `gap_ns`, and the receiver tells the latencies.
    """
    program = BIN / f"messages_{program}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    end = time.monotonic() + 30
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = f"{folder}/s"
        argv = [program, "recv", kind, path, total, producers, int(gap_ns > 0)]
        children = [subprocess.Popen([str(word) for word in argv], **pipes)]
        resting = []
        try:
            expect(children[0], "listening")
            idle_bytes = rest(children[0].pid, path, idle, resting) if idle else 0
            argv = [program, "send", kind.split("-")[0], path, total // producers, batch, gap_ns]
            children += [subprocess.Popen([str(word) for word in argv], **pipes) for _ in range(producers)]
            for child in children[1:]:
                expect(child, "ready")
            for child in children[1:]:
                child.stdin.write("g")
                child.stdin.flush()
            out = ended(children[0], end)
        finally:
            for child in children:
                child.kill()
                child.communicate()
            for one in resting:
                one.close()
    if not out:
        raise Failed(f"{program} {kind}: the messages did not all arrive")
    seconds, user, system, peak, *latencies = [float(word) for word in out.split()]
    result = {"per_s": total / seconds, "cpu_us": (user + system) / total * 1e6, "user_us": user / total * 1e6,
              "system_us": system / total * 1e6, "peak_kb": peak}
    if idle:
        result["idle_bytes"] = idle_bytes
    return result | dict(zip(LATENCIES, latencies))


def rest(pid, path, n, sockets):
    """Connects so many that say nothing; bytes of the receiver's memory for each, when it has accepted them all."""
    held = lambda: len(os.listdir(f"/proc/{pid}/fd"))
    before_kb, before, end = memory_kb(pid, "VmRSS"), held(), time.monotonic() + 20
    for _ in range(n):
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].connect(path)
    while held() < before + n:
        if time.monotonic() > end:
            raise Failed(f"{path}: {held() - before} of {n} producers were accepted")
        time.sleep(0.001)
    return (memory_kb(pid, "VmRSS") - before_kb) * 1024 / n


def expect(child, line):
    said = child.stdout.readline().strip()
    if said != line:
        raise Failed(f"{child.args}: '{said}' instead of '{line}'")
