"""Each fault of the message half that needs many producers, few resources or time, by name."""

import fcntl
import os
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import time

import pytest
from conftest import DEADLINE, example, run, wait_until
from producers import (  # noqa: F401
    cpu,
    flood,
    frame,
    listen,
    outq,
    produce,
    receive,
    report,
    rss,
    stream,
    summary,
)

# 1 for the full size: `make test-flood`.
FULL = os.environ.get("HYSOCK_FLOOD") == "1"
VERDICT = re.compile(r"missing (\d+), twice (\d+), wrong (\d+), most held (\d+)")
BUDGET = 16 << 20


def verdict(receiver):
    """Ends flood's receiver; (missing, twice, wrong)."""
    receiver.stop(deadline=120)
    *found, most_held = map(int, VERDICT.search(receiver.output).groups())
    assert most_held <= BUDGET + (64 << 10), "one read beyond the budget at most"
    return tuple(found)


@pytest.mark.parametrize("kind", ["u32be", "seqpacket", "dgram"])
def test_umask_0_022_077(receive, sockdir, kind):
    for umask in (0, 0o022, 0o077):
        receiver = receive("--framing", kind, umask=umask)
        assert stat.S_IMODE(os.lstat(sockdir / "r").st_mode) == 0o600, f"umask {umask:o}"
        summary(receiver)
        assert not (sockdir / "r").exists()


def test_lock_held_but_file_deleted(receive, sockdir):
    lock = sockdir / ".r.lock"
    with open(lock, "w") as held:
        os.chmod(lock, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        lock.unlink()
        receiver = receive("--quiet")
        assert produce(sockdir / "r", "x") == (1, 0, 0, 0)
        assert summary(receiver)[0] == 1


def test_5000_connections_with_256_descriptors(receive, sockdir):
    receiver = receive("--quiet")
    resource.prlimit(receiver.pid, resource.RLIMIT_NOFILE, (256, 256))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    socks = []
    try:
        for _ in range(5000):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            socks.append(sock)
            try:
                sock.connect(str(sockdir / "r"))
            except BlockingIOError:
                pass  # the backlog is full: it would have to wait
        wait_until(lambda: len(os.listdir(f"/proc/{receiver.pid}/fd")) >= 250, what="being full")
        began = cpu(receiver.pid)
        time.sleep(1)  # nothing to wait for: the point is that nothing happens
        assert cpu(receiver.pid) - began < 0.3, "it spins"
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert produce(sockdir / "r", "it has recovered") == (1, 0, 0, 0)
    assert summary(receiver)[0] == 1


def test_consumer_stopped_10_s_with_50_producers(flood, daemon, sockdir):
    """It holds no more than its budget, loses nothing, keeps the order, and goes on."""
    count = 20000 if FULL else 6000
    pause = 10000 if FULL else 3000
    options = [sockdir / "seen", "50", str(count), str(pause)]
    receiver = daemon(flood, "receive", sockdir / "r", *options, ready="listening")
    # More than budget and sockets hold: the producers have to wait.
    done = run(flood, "send", sockdir / "r", "50", str(count), "400", timeout=240)
    assert report(done.stdout) == (50 * count, 0, 0, 0), done.stderr
    assert rss(receiver.pid) < 4 * BUDGET
    assert verdict(receiver) == (0, 0, 0)


def test_100_producers_and_a_receiver_that_pauses(flood, daemon, sockdir):
    """All arrive, in order, whole; `make test-flood` is 100,000 messages each and a pause of 10 s."""
    count, pause = (100_000, 10_000) if FULL else (5_000, 1_000)
    options = [sockdir / "seen", "100", str(count), str(pause)]
    receiver = daemon(flood, "receive", sockdir / "r", *options, ready="listening")
    done = run(flood, "send", sockdir / "r", "100", str(count), "100", timeout=600)
    assert report(done.stdout) == (100 * count, 0, 0, 0), done.stderr
    assert rss(receiver.pid) < 100 * count + 4 * BUDGET, "the file of what was seen, and the budget"
    assert verdict(receiver) == (0, 0, 0)


def test_100_producers_and_kill_9_of_the_receiver(flood, daemon, sockdir):
    """Loss at most what is in doubt; nothing that was written comes twice."""
    count = 100_000 if FULL else 5_000
    options = [sockdir / "seen", "100", str(count), "0"]
    start = lambda: daemon(  # noqa: E731
        flood, "receive", sockdir / "r", *options, ready="listening", status=None
    )
    first = start()
    sender = subprocess.Popen(
        [flood, "send", sockdir / "r", "100", str(count), "100"], stdout=subprocess.PIPE, text=True
    )
    seen = lambda: (sockdir / "seen").read_bytes().count(1)  # noqa: E731
    wait_until(lambda: seen() > 10 * count, what="a tenth being received")
    first.process.send_signal(signal.SIGKILL)
    first.wait(status=None)
    second = start()
    out, _ = sender.communicate(timeout=600)
    delivered, in_doubt, unsent, dropped = report(out)
    assert (delivered + in_doubt, unsent, dropped) == (100 * count, 0, 0)
    missing, twice, wrong = verdict(second)
    assert (twice, wrong) == (0, 0)
    # What the first had read and not looked at is lost too, and no producer can know of it.
    held = BUDGET // (100 + 48) + 1024
    assert missing <= in_doubt + held
    assert delivered <= 100 * count - missing + held


def test_one_fast_and_49_slow_producers(flood, daemon, sockdir):
    """Each slow one gets at least half of its equal share."""
    options = [sockdir / "seen", "50", "0", "0", "100000"]
    receiver = daemon(flood, "receive", sockdir / "r", *options, ready="listening", status=None)
    storm = daemon(flood, "storm", sockdir / "r", "50", status=None)

    def counts():
        return struct.unpack("50Q", (sockdir / "seen").read_bytes())

    # The receiver is what limits them: 50 processes at full speed would measure the scheduler.
    wait_until(lambda: min(counts()) > 0 and sum(counts()) > 2000, what="all being there")
    before = counts()
    wait_until(lambda: sum(counts()) - sum(before) > 20_000, what="enough of them")
    got = [now - then for now, then in zip(counts(), before)]
    storm.kill()
    receiver.kill()
    assert min(got) >= sum(got) / 50 / 2, sorted(got)


def test_receiver_absent_5_s_then_up(receive, sockdir):
    client = subprocess.Popen(
        [example("producer"), sockdir / "r", "--count", "100"], stdout=subprocess.PIPE, text=True
    )
    time.sleep(5)  # the fault itself
    began = time.monotonic()
    receiver = receive("--quiet")
    out, _ = client.communicate(timeout=DEADLINE)
    assert time.monotonic() - began < 3, "the longest pause between two tries is a second"
    assert report(out) == (100, 0, 0, 0)
    assert summary(receiver)[0] == 100


def test_restarts_every_200_ms_tear_no_frame(receive, sockdir):
    client = subprocess.Popen(
        [example("producer"), sockdir / "r", "--count", "50000", "--size", "300", "--id", "7"],
        stdout=subprocess.PIPE,
        text=True,
    )
    numbers = []
    while client.poll() is None:
        receiver = receive()
        if client.poll() is None:
            time.sleep(0.2)  # the interval of the restarts
        receiver.stop()
        for line in receiver.lines[1:-1]:
            assert len(line) == 300 and line.startswith("7:"), line
            numbers.append(int(line.split(":")[1]))
    out, _ = client.communicate(timeout=DEADLINE)
    delivered, in_doubt, unsent, dropped = report(out)
    assert (delivered + in_doubt, unsent, dropped) == (50000, 0, 0)
    assert all(a < b for a, b in zip(numbers, numbers[1:])), "in order, none twice"
    assert delivered <= len(numbers)


def test_1000_idle_producers_cost_16_KiB_each_at_most(receive, sockdir):
    receiver = receive("--quiet")
    assert produce(sockdir / "r", "warm") == (1, 0, 0, 0)
    before = rss(receiver.pid)
    socks = [stream(sockdir / "r") for _ in range(1000)]
    for sock in socks:
        sock.sendall(frame(b"hello"))
    wait_until(lambda: all(outq(sock) == 0 for sock in socks), what="a message of each")
    began = cpu(receiver.pid)
    assert rss(receiver.pid) - before < 1000 * (16 << 10)
    time.sleep(0.5)  # nothing to wait for: the point is that nothing happens
    assert cpu(receiver.pid) - began < 0.1
    for sock in socks:
        sock.close()
    assert summary(receiver)[:3] == (1001, 5004, 1001)


# The three ends of a message, as shutdown(drain) tells them.


def ended(sockdir, receiver):
    """What the producer says of 10 messages to `receiver(listener)`."""
    with listen(sockdir / "p") as listener:
        client = subprocess.Popen(
            [example("producer"), sockdir / "p", "--count", "10"], stdout=subprocess.PIPE, text=True
        )
        peer, _ = listener.accept()
        with peer:
            receiver(peer)
        out, _ = client.communicate(timeout=DEADLINE)
    return report(out)


def test_shutdown_tells_delivered(sockdir):
    def read_all(peer):
        while peer.recv(4096):
            pass

    assert ended(sockdir, read_all) == (10, 0, 0, 0)


def test_shutdown_tells_in_doubt(sockdir):
    def wait_for_all(peer):
        poll = lambda: len(peer.recv(4096, socket.MSG_PEEK)) == 10 * 8  # noqa: E731
        wait_until(poll, what="ten frames of four bytes each")

    assert ended(sockdir, wait_for_all) == (0, 10, 0, 0)


def test_shutdown_tells_unsent(sockdir):
    done = run(example("producer"), sockdir / "nobody", "--count", "10", "--drain-ms", "50")
    assert report(done.stdout) == (0, 0, 10, 0) and done.returncode == 1


def test_datagram_queue_full_neither_hangs_nor_spins(receive, sockdir):
    """Senders of a receiver that is stopped wait, and cost nothing."""
    receiver = receive("--quiet", "--framing", "dgram")
    os.kill(receiver.pid, signal.SIGSTOP)
    options = ["--framing", "dgram", "--count", "12000", "--size", "50"]
    clients = [
        subprocess.Popen([example("producer"), sockdir / "r", *options], stdout=subprocess.PIPE)
        for _ in range(8)
    ]

    def spent():
        return sum(cpu(client.pid) for client in clients)

    def calm():
        before = spent()
        time.sleep(0.5)
        return spent() - before < 0.1

    wait_until(calm, what="senders that wait")
    os.kill(receiver.pid, signal.SIGCONT)
    for client in clients:
        out, _ = client.communicate(timeout=4 * DEADLINE)
        assert report(out.decode()) == (12000, 0, 0, 0)
    assert summary(receiver)[0] == 96000

