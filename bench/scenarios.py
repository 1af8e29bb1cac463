"""What is measured: each scenario's participants, how each is run, and the bars it is held against.

A figure is only ever compared with the figures of the same round, in which the participants take turns.
"""

import time
from dataclasses import dataclass, field

from measure import BIN, Server, calls, load, messages

SERVERS = {
    "hysock": f"{BIN}/server_hysock {{S}} --delivery inline --file {{F}}",
    "hysock pool": f"{BIN}/server_hysock {{S}} --delivery pool",
    "hysock pool of 64": f"{BIN}/server_hysock {{S}} --delivery pool --threads 64",
    "hysock queue": f"{BIN}/server_hysock {{S}} --delivery queue",
    "raw epoll": f"{BIN}/server_raw {{S}}",
    "nginx": "nginx",
    "h2o": "h2o",
    "libmicrohttpd": f"{BIN}/server_microhttpd {{S}}",
    "libmicrohttpd threads": f"{BIN}/server_microhttpd {{S}} --threads",
    "libevent": f"{BIN}/server_libevent {{S}}",
    "plain hyper": f"{BIN}/target/release/hyper_server {{S}}",
    "Go": f"{BIN}/server_go {{S}}",
}

CLIENTS = {
    "hysock": f"{BIN}/../../examples-c/bin/many_calls {{S}} {{N}} 64",
    "hyperlocal": f"{BIN}/target/release/hyperlocal_calls {{S}} {{N}} 64",
    "libcurl multi": f"{BIN}/calls_curl_multi {{S}} {{N}} 64",
    "Go": f"{BIN}/calls_go {{S}} {{N}} 64",
    "raw epoll": f"{BIN}/load {{S}} --requests {{N}} --connections 64",
}

BLOCKING = {
    "hysock": f"{BIN}/../../examples-c/bin/blocking_calls {{S}} {{N}}",
    "hyperlocal": f"{BIN}/target/release/hyperlocal_calls {{S}} {{N}} 1",
    "libcurl easy": f"{BIN}/calls_curl_easy {{S}} {{N}}",
    "raw send/recv": f"{BIN}/calls_raw {{S}} {{N}}",
}


@dataclass
class Bar:
    """`of`'s figure is at most (`at_least`: at least) so many times `than`'s."""

    of: str
    than: str
    ratio: float
    at_least: bool = False


@dataclass
class Scenario:
    name: str
    title: str
    figure: str  # what is compared: a key of a run's result
    unit: str
    who: dict  # name: how one run goes, a function without arguments that returns a dict
    bars: list = field(default_factory=list)
    reference: str = ""  # ratios are given to this one
    quick: bool = False  # also part of bench-quick
    more_is_better: bool = False


def served(name, options, file=None):
    def run():
        with Server(SERVERS[name], file=file) as server:
            return load(server, options)

    return run


def called(command, n, server_core):
    def run():
        with Server(SERVERS["raw epoll"], core=server_core) as server:
            return calls(server, command, n, 0)

    return run


def servers(name, title, options, who, reference="plain hyper", **more):
    runs = {one: served(one, options) for one in who}
    more.setdefault("figure", "cpu_us")
    more.setdefault("unit", "us of CPU a request")
    return Scenario(name, title, who=runs, reference=reference, **more)


def sent(program, kind, batch, total, **more):
    return lambda: messages(program, kind, batch, total, **more)


def message_scenarios():
    rate = {"figure": "per_s", "unit": "messages a second", "more_is_better": True}
    late = {"figure": "p99_us", "unit": "us, 99th percentile"}
    paced = {"producers": 1, "gap_ns": 100_000}
    return [
        Scenario(
            "messages", "messages of 100 bytes, 4 producers, one stream each, in batches", who={
                "hysock": sent("hysock", "stream", 256, 4_000_000),
                "ZeroMQ": sent("zeromq", "stream", 1, 1_000_000),
                "nng": sent("nng", "stream", 1, 200_000),
                "raw write/read": sent("raw", "stream", 256, 4_000_000),
            }, reference="ZeroMQ", quick=True, **rate,
            bars=[Bar("hysock", "ZeroMQ", 2.5, at_least=True), Bar("hysock", "nng", 5.0, at_least=True)],
        ),
        Scenario(
            "single", "messages of 100 bytes, 4 producers, one send call each", who={
                "hysock": sent("hysock", "stream", 1, 800_000),
                "ZeroMQ": sent("zeromq", "stream", 1, 1_000_000),
                "nng": sent("nng", "stream", 1, 200_000),
                "raw write/read": sent("raw", "stream", 1, 800_000),
            }, reference="raw write/read", **rate, bars=[Bar("hysock", "raw write/read", 0.7, at_least=True)],
        ),
        Scenario(
            "datagrams", "datagrams of 100 bytes, 4 producers, in batches", who={
                "hysock": sent("hysock", "dgram", 64, 500_000),
                "raw sendmmsg/recvmmsg": sent("raw", "dgram", 64, 500_000),
            }, reference="raw sendmmsg/recvmmsg", **rate,
            bars=[Bar("hysock", "raw sendmmsg/recvmmsg", 0.8, at_least=True)],
        ),
        Scenario(
            "message-latency", "messages of 100 bytes, one each 100 us, one way", who={
                # In a callback on the I/O thread: for whom the latency counts. Pulled, each message wakes two threads.
                "hysock": sent("hysock", "stream-inline", 1, 10_000, **paced),
                "hysock pulled": sent("hysock", "stream", 1, 10_000, **paced),
                "ZeroMQ": sent("zeromq", "stream", 1, 10_000, **paced),
                "nng": sent("nng", "stream", 1, 10_000, **paced),
                "raw write/read": sent("raw", "stream", 1, 10_000, **paced),
            }, reference="raw write/read", **late, bars=[Bar("hysock", "raw write/read", 2.0)],
        ),
        Scenario(
            "idle-producers", "messages in batches beside 1,000 producers that rest", who={
                "hysock, 1,000 idle": sent("hysock", "stream", 256, 4_000_000, idle=1000),
                "hysock": sent("hysock", "stream", 256, 4_000_000),
            }, reference="hysock", **rate, bars=[Bar("hysock, 1,000 idle", "hysock", 0.9, at_least=True)],
        ),
    ]


INLINE = ["hysock", "raw epoll", "nginx", "plain hyper"]
EVERYBODY = INLINE + ["h2o", "libmicrohttpd", "libevent", "Go"]
SPIN = "--spin --requests 100000"


def started(name):
    """From the start of the process to its first accepted connection."""

    def run():
        begin = time.monotonic()
        with Server(SERVERS[name]):
            return {"start_ms": (time.monotonic() - begin) * 1e3}

    return run


def idle(run):
    """Bytes of memory for each of the connections that rest, from a run with 10,000 of them."""

    def measured():
        result = run()
        result["idle_bytes"] = result["grown_kb"] * 1024 / 10000
        return result

    return measured


def all_scenarios(file):
    """Every scenario, in the order of the report. `file`: 1 GiB to send."""
    result = [
        servers(
            "get-64", "server: small GET, 64 connections", f"{SPIN} --connections 64",
            EVERYBODY + ["hysock pool", "hysock queue"], quick=True,
            bars=[
                Bar("hysock", "nginx", 1.03), Bar("hysock", "plain hyper", 1.00),
                Bar("hysock", "raw epoll", 1.30), Bar("hysock pool", "libmicrohttpd", 1.00),
                Bar("hysock queue", "hysock", 1.25),
            ],
        ),
        servers("get-1", "server: small GET, 1 connection", "--spin --requests 20000 --connections 1", EVERYBODY),
        servers("get-8", "server: small GET, 8 connections", f"{SPIN} --connections 8", EVERYBODY),
        servers("get-512", "server: small GET, 512 connections", f"{SPIN} --connections 512", EVERYBODY),
        servers(
            "headers-20", "server: GET with 20 headers, 64 connections",
            f"{SPIN} --connections 64 " + " ".join(f"--header 'x-header-{i}: value of {i}'" for i in range(20)),
            EVERYBODY,
        ),
        servers("post-1k", "server: POST of 1 KiB, 64 connections",
                f"{SPIN} --connections 64 --method POST --body 1024",
                ["hysock", "raw epoll", "plain hyper", "libmicrohttpd", "libevent", "Go"]),
        servers("post-1m", "server: POST of 1 MiB, 8 connections",
                "--requests 1000 --connections 8 --method POST --body 1048576",
                ["hysock", "raw epoll", "plain hyper", "libmicrohttpd", "libevent", "Go"]),
        servers("fresh", "server: a new connection for each request", "--fresh --spin --requests 30000 --connections 8",
                INLINE + ["libmicrohttpd", "libevent", "Go"], quick=True, bars=[Bar("hysock", "plain hyper", 1.10)]),
    ]
    for ms, n in ((1, 20000), (20, 2000)):
        result.append(servers(
            f"slow-{ms}", f"server: handlers that block for {ms} ms, 64 connections",
            f"--requests {n} --connections 64 --target /slow/{ms}",
            ["hysock pool of 64", "plain hyper", "libmicrohttpd threads", "Go"],
            figure="per_s", unit="requests a second", more_is_better=True,
        ))
    growth = [servers(f"active-{n}", f"server: small GET, {n:,} connections", f"{SPIN} --connections {n}", INLINE)
              for n in (64, 1000, 10000)]
    result += growth
    memory = servers("idle", "server: memory of an idle connection (10,000 of them)",
                     "--idle 10000 --requests 1000 --connections 1 --settle 3000", EVERYBODY,
                     figure="idle_bytes", unit="bytes a connection")
    memory.who = {name: idle(run) for name, run in memory.who.items()}
    result.append(memory)
    result.append(Scenario(
        "download", "server: a file of 1 GiB", "per_s", "answers a second",
        {name: served(name, "--requests 3 --connections 1 --target /file", file) for name in ("hysock", "nginx", "h2o")},
        reference="nginx", more_is_better=True, bars=[Bar("hysock", "nginx", 1.0, at_least=True)],
    ))
    # Open loop: requests are due at even times, so a stall counts for all that were due in it.
    result += [
        servers(f"rate-{rate}", f"server: 99th percentile of the latency at {rate:,} requests a second",
                f"--rate {rate} --requests {rate} --connections 64", ["hysock", "nginx", "plain hyper", "libmicrohttpd"],
                figure="p99_us", unit="us")
        for rate in (10000, 40000, 70000, 100000)
    ]
    result.append(Scenario(
        "start", "server: from exec to the first connection", "start_ms", "ms",
        {name: started(name) for name in EVERYBODY}, reference="plain hyper",
    ))
    result += [
        Scenario(
            "calls-64", "client: 64 calls in flight", "cpu_us", "us of CPU a call",
            {name: called(command, 100000, 1) for name, command in CLIENTS.items()},
            reference="hyperlocal", quick=True,
            bars=[Bar("hysock", "hyperlocal", 0.70), Bar("hysock", "libcurl multi", 0.55)],
        ),
        Scenario(
            "blocking", "client: one call after the other, both sides on one core", "cpu_us", "us of CPU a call",
            {name: called(command, 50000, 0) for name, command in BLOCKING.items()},
            reference="libcurl easy", quick=True,
            bars=[Bar("hysock", "libcurl easy", 0.50), Bar("hysock", "raw send/recv", 1.8)],
        ),
        Scenario(
            "blocking-2", "client: one call after the other, two cores", "wall_us", "us by the clock a call",
            {name: called(command, 30000, 1) for name, command in BLOCKING.items()},
            reference="libcurl easy", bars=[Bar("hysock", "libcurl easy", 1.0)],
        ),
    ]
    return result + message_scenarios()
