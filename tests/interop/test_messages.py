"""Other people's producers and receivers against hysock's, and each fault of the message half by name."""

import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from conftest import DEADLINE, example, run, tool, wait_until
from datadog.dogstatsd.base import DogStatsd
from httpd import as_nobody
from producers import (  # noqa: F401
    REPORT,
    frame,
    lines,
    listen,
    outq,
    produce,
    receive,
    rss,
    stream,
    summary,
)

# Other people's producers.


def test_nc_sends_lines(receive, sockdir):
    receiver = receive("--framing", "lines")
    done = run(tool("nc"), "-N", "-U", sockdir / "r", input="hello\nworld\nno newline")
    assert done.returncode == 0
    assert lines(receiver, 3) == ["hello", "world", "no newline"]
    assert summary(receiver)[0] == 3


@pytest.mark.parametrize(
    "framing, kind", [("lines", "1"), ("dgram", "2"), ("seqpacket", "5")]
)
def test_socat_sends_each_socket_type(receive, sockdir, framing, kind):
    receiver = receive("--framing", framing)
    address = f"UNIX-CONNECT:{sockdir}/r,type={kind}"
    done = run(tool("socat"), "-u", "-", address, input="one message\n")
    assert done.returncode == 0, done.stderr
    assert lines(receiver, 1) == ["one message"]


def test_logger_sends_datagrams(receive, sockdir):
    receiver = receive("--framing", "dgram")
    done = run(tool("logger"), "-u", sockdir / "r", "-t", "tag", "-p", "user.notice", "a line")
    assert done.returncode == 0, done.stderr
    (line,) = lines(receiver, 1)
    assert line.startswith("<13>") and line.endswith("a line") and "tag" in line


@pytest.mark.parametrize("framing, order", [("u32be", ">"), ("u32le", "<")])
def test_python_sends_frames(receive, sockdir, framing, order):
    receiver = receive("--framing", framing)
    with stream(sockdir / "r") as sock:
        sock.sendall(frame(b"first", order) + frame(b"", order) + frame(b"third", order))
    assert lines(receiver, 3) == ["first", "", "third"]


@pytest.mark.parametrize("kind, scheme", [("u32le", "unixstream"), ("dgram", "unixgram")])
def test_a_dogstatsd_client_sends_metrics(receive, sockdir, kind, scheme):
    receiver = receive("--framing", kind)
    client = DogStatsd(
        socket_path=f"{scheme}://{sockdir}/r",
        disable_buffering=True,
        disable_telemetry=True,
        disable_background_sender=True,
        origin_detection_enabled=False,
    )
    client.increment("hits", tags=["route:home"])
    client.gauge("load", 0.5)
    client.close_socket()
    # Each ends with a newline of its own.
    found = [line for line in lines(receiver, 4) if line]
    assert [line.partition("|#")[0] for line in found] == ["hits:1|c", "load:0.5|g"]
    assert "route:home" in found[0]
    assert summary(receiver)[0] == 2


@pytest.mark.parametrize("framing, option", [("lines", ()), ("dgram", ("--datagram",))])
def test_systemd_socket_activate_starts_a_receiver(daemon, sockdir, framing, option):
    path = sockdir / "r"
    activate = tool("systemd-socket-activate")
    options = ["-l", path, *option, example("receiver"), "-", "--framing", framing]
    manager = daemon(activate, *options, ready="Listening on")
    kind = "2" if framing == "dgram" else "1"
    done = run(tool("socat"), "-u", "-", f"UNIX-CONNECT:{path},type={kind}", input="activated\n")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: "activated" in manager.lines, what="the message")
    manager.stop()
    assert "received 1 messages" in manager.output
    assert path.exists(), "it is the manager's"


# Other people's receivers.


def test_a_python_receiver_gets_frames(sockdir):
    with listen(sockdir / "p") as listener:
        client = subprocess.Popen(
            [example("producer"), sockdir / "p", "one", "two"], stdout=subprocess.PIPE
        )
        peer, _ = listener.accept()
        with peer, peer.makefile("rb") as file:
            assert file.read() == frame(b"one") + frame(b"two")
        out, _ = client.communicate(timeout=DEADLINE)
        assert b"2 delivered, 0 in doubt" in out and client.returncode == 0


@pytest.mark.parametrize(
    "framing, kind", [("dgram", socket.SOCK_DGRAM), ("seqpacket", socket.SOCK_SEQPACKET)]
)
def test_a_python_receiver_gets_packets(sockdir, framing, kind):
    with listen(sockdir / "p", kind) as listener:
        client = subprocess.Popen(
            [example("producer"), sockdir / "p", "--framing", framing, "one", "two"],
            stdout=subprocess.PIPE,
        )
        peer = listener if kind == socket.SOCK_DGRAM else listener.accept()[0]
        assert [peer.recv(100), peer.recv(100)] == [b"one", b"two"]
        peer.close()
        out, _ = client.communicate(timeout=DEADLINE)
        assert b"2 delivered" in out and client.returncode == 0


# The list of faults.


def test_one_byte_at_a_time(receive, sockdir):
    receiver = receive()
    with stream(sockdir / "r") as sock:
        for byte in frame(b"slow") + frame(b"but whole"):
            sock.send(bytes([byte]))
    assert lines(receiver, 2) == ["slow", "but whole"]


def test_a_frame_split_at_every_offset(receive, sockdir):
    receiver = receive()
    wire = frame(b"abc") + frame(b"defgh")
    for cut in range(1, len(wire)):
        with stream(sockdir / "r") as sock:
            sock.sendall(wire[:cut])
            wait_until(lambda: outq(sock) == 0, what="the first half being read")
            sock.sendall(wire[cut:])
    found = lines(receiver, 2 * (len(wire) - 1))
    assert found.count("abc") == found.count("defgh") == len(wire) - 1


def test_ten_thousand_frames_in_one_write(receive, sockdir):
    receiver = receive("--quiet")
    with stream(sockdir / "r") as sock:
        sock.sendall(b"".join(frame(b"%d" % n) for n in range(10000)))
    assert summary(receiver)[0] == 10000


def test_lengths_at_the_limit(receive, sockdir):
    receiver = receive("--quiet")
    limit = 1 << 20
    with stream(sockdir / "r") as sock:
        for size in (0, 1, limit):
            sock.sendall(frame(bytes(size)))
    for length in (limit + 1, 0xFFFFFFFF):
        with stream(sockdir / "r") as sock:
            sock.sendall(struct.pack(">I", length))
            assert sock.recv(1) == b"", "disconnected"
    assert summary(receiver)[:2] == (3, limit + 1)


def test_little_endian_sent_to_big_endian(receive, sockdir):
    receiver = receive("--quiet")
    with stream(sockdir / "r") as sock, stream(sockdir / "r") as good:
        sock.sendall(frame(b"x" * 100, "<"))
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass  # it had more to read
        good.sendall(frame(b"unaffected"))
    assert summary(receiver)[0] == 1


def test_a_header_from_a_thousand_producers_takes_no_memory(receive, sockdir):
    receiver = receive("--quiet")
    before = rss(receiver.pid)
    socks = [stream(sockdir / "r") for _ in range(1000)]
    for sock in socks:
        sock.sendall(struct.pack(">I", 1 << 20))
    wait_until(lambda: all(outq(sock) == 0 for sock in socks), what="headers being read")
    assert rss(receiver.pid) - before < 16 * 1024 * 1000, "16 KiB for each, not what they announce"
    for sock in socks:
        sock.close()
    assert summary(receiver)[:3] == (0, 0, 1000)


def test_kill_9_of_the_receiver_and_restart(receive, sockdir):
    first = receive("--quiet")
    client = subprocess.Popen(
        [example("producer"), sockdir / "r", "--count", "300000", "--size", "64"],
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: rss(first.pid) > 0)
    with stream(sockdir / "r"):
        pass
    first.process.send_signal(signal.SIGKILL)
    first.wait(status=None)
    second = receive("--quiet")
    out, _ = client.communicate(timeout=DEADLINE)
    delivered, in_doubt, unsent, dropped = map(int, REPORT.search(out).groups())
    assert (delivered + in_doubt, unsent, dropped) == (300000, 0, 0)
    got = summary(second)[0]
    # What the first had received is among the delivered or in doubt; nothing came twice.
    assert got <= 300000 and delivered >= got


def test_a_receiver_that_is_absent_at_first(receive, sockdir):
    client = subprocess.Popen(
        [example("producer"), sockdir / "r", "early", "bird"], stdout=subprocess.PIPE, text=True
    )
    receiver = receive()
    out, _ = client.communicate(timeout=DEADLINE)
    assert "2 delivered, 0 in doubt, 0 unsent" in out
    assert lines(receiver, 2) == ["early", "bird"]


def test_two_receivers_started_together(daemon, sockdir):
    # As processes; test_message_starters.c does it a thousand times.
    for _ in range(10):
        both = [daemon(example("receiver"), sockdir / "r", "--quiet", status=None) for _ in range(2)]
        wait_until(lambda: any("listening" in b.output for b in both))
        winner = next(b for b in both if "listening" in b.output)
        loser = next(b for b in both if b is not winner)
        assert loser.wait(status=1) == 1
        assert f"in use by pid {winner.pid}" in loser.output
        assert produce(sockdir / "r", "x") == (1, 0, 0, 0)
        assert summary(winner)[0] == 1


def test_a_path_that_is_something_else(daemon, sockdir):
    (sockdir / "file").write_text("precious")
    (sockdir / "folder").mkdir()
    os.symlink(sockdir / "nowhere", sockdir / "link")
    for name in ("file", "folder", "link"):
        done = run(example("receiver"), sockdir / name)
        assert done.returncode == 1 and "not a socket" in done.stderr, done.stderr
    assert (sockdir / "file").read_text() == "precious"
    # Another type of socket, alive: its own error, and no retry.
    with listen(sockdir / "d", socket.SOCK_DGRAM):
        done = run(example("producer"), sockdir / "d", "x")
        assert done.returncode == 1 and "datagram" in done.stderr, done.stderr
        done = run(example("receiver"), sockdir / "d")
        assert done.returncode == 1 and "in use" in done.stderr, done.stderr


def test_a_receiver_that_may_not_be_reached(receive, sockdir):
    receiver = receive("--quiet")
    sockdir.chmod(0o755)  # the folder is open, the socket is 0600
    done = run(*as_nobody(), example("producer"), sockdir / "r", "x")
    assert done.returncode == 1 and "ermission" in done.stderr, done.stderr
    assert summary(receiver)[0] == 0


def test_nc_and_socat_send_datagrams(receive, sockdir):
    receiver = receive("--framing", "dgram")
    run(tool("nc"), "-u", "-U", "-w", "1", sockdir / "r", input="by nc\n")
    done = run(tool("socat"), "-u", "-", f"UNIX-SENDTO:{sockdir}/r", input="by socat\n")
    assert done.returncode == 0, done.stderr
    assert [line for line in lines(receiver, 3) if line] == ["by nc", "by socat"]


def test_a_stopped_consumer_holds_memory_flat_and_loses_nothing(receive, sockdir):
    receiver = receive("--quiet")
    os.kill(receiver.pid, signal.SIGSTOP)
    clients = [
        subprocess.Popen(
            [example("producer"), sockdir / "r", "--count", "20000", "--size", "100", "--id", str(k)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(10)
    ]
    time.sleep(1)  # nothing to wait for: the point is that nothing happens
    os.kill(receiver.pid, signal.SIGCONT)
    for client in clients:
        out, _ = client.communicate(timeout=4 * DEADLINE)
        assert "20000 delivered, 0 in doubt, 0 unsent, 0 dropped" in out
    assert rss(receiver.pid) < 80 << 20
    assert summary(receiver) == (200000, 20000000, 10, 0)


def test_a_full_datagram_queue_with_many_senders(receive, sockdir):
    receiver = receive("--quiet", "--framing", "dgram", "--slow-us", "100")
    options = ["--framing", "dgram", "--count", "500", "--size", "50"]
    results = []

    def send(k):
        results.append(produce(sockdir / "r", *options, "--id", str(k)))

    threads = [threading.Thread(target=send, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * DEADLINE)
    assert results == [(500, 0, 0, 0)] * 8
    assert summary(receiver)[0] == 4000


def test_a_receiver_that_restarts_under_load(receive, sockdir):
    client = subprocess.Popen(
        [example("producer"), sockdir / "r", "--count", "200000", "--size", "100"],
        stdout=subprocess.PIPE,
        text=True,
    )
    total = 0
    while client.poll() is None:
        receiver = receive("--quiet")
        if client.poll() is None:
            time.sleep(0.2)  # the interval of the restarts
        total += summary(receiver)[0]
    out, _ = client.communicate(timeout=DEADLINE)
    delivered, in_doubt, unsent, dropped = map(int, REPORT.search(out).groups())
    assert (delivered + in_doubt, unsent, dropped) == (200000, 0, 0)
    assert delivered <= total <= 200000, "loss at most what is in doubt, and nothing twice"


def test_the_funnel_example(sockdir):
    done = run(example("funnel"), sockdir / "f")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "5000 messages of 5 producers, 5000 in order\n"


def test_the_log_collector_example(daemon, sockdir):
    log, datagrams, lines = sockdir / "all.log", sockdir / "log", sockdir / "lines"
    ready = f"listening on {datagrams} and {lines}"
    collector = daemon(example("log_collector"), log, datagrams, lines, ready=ready)
    done = run(tool("logger"), "-u", datagrams, "-t", "tag", "by logger")
    assert done.returncode == 0, done.stderr
    with stream(lines) as sock:
        sock.sendall(b"a line\nforged\x1b[1m\n")
    collector.stop()
    assert "3 messages" in collector.output
    found = log.read_text().splitlines()
    assert len(found) == 3, found
    me = re.escape(f"{os.getuid()} {os.getpid()} ")
    assert any(re.fullmatch(rf"{os.getuid()} \d+ <13>.*tag: by logger", line) for line in found)
    assert any(re.fullmatch(me + "a line", line) for line in found)
    assert any(re.fullmatch(me + r"forged\?\[1m", line) for line in found)


def test_the_statsd_sink_example(daemon, sockdir):
    path = sockdir / "s"
    sink = daemon(example("statsd_sink"), path, ready=f"listening on {path}")
    with stream(path) as one, stream(path) as two:
        one.sendall(frame(b"hits:1|c|#route:home\nhits:2|c\nload:0.5|g", "<"))
        two.sendall(frame(b"hits:4|c", "<") + frame(b"load:0.75|g", "<") + frame(b"nonsense", "<"))
        two.sendall(frame(b"time:320|ms", "<"))
        wait_until(lambda: outq(one) == outq(two) == 0, what="all being read")
    sink.stop()
    assert "hits 7" in sink.lines and "time 1" in sink.lines
    assert "load 0.5" in sink.lines or "load 0.75" in sink.lines


def test_the_fd_pass_example(daemon, sockdir):
    receiver = daemon(example("fd_pass"), "receive", sockdir / "r", ready="listening on")
    (sockdir / "secret").write_text("only the sender may open this\n")
    done = run(example("fd_pass"), "send", sockdir / "r", sockdir / "secret")
    assert (done.returncode, done.stdout) == (0, "1 delivered\n"), done.stderr
    receiver.stop()
    assert receiver.lines[1:] == [f"{sockdir}/secret:", "only the sender may open this"]
