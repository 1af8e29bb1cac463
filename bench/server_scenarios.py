"""The servers' scenarios: each under the load generator, on a core of its own."""

from measure import BIN, LATENCIES, Server, carried, h2load, load
from scenario import Bar, Scenario

SERVERS = {
    "hysock": f"{BIN}/server_hysock {{S}} --delivery inline --file {{F}}",
    "hysock pool": f"{BIN}/server_hysock {{S}} --delivery pool",
    "hysock pool of 64": f"{BIN}/server_hysock {{S}} --delivery pool --threads 64",
    "hysock queue": f"{BIN}/server_hysock {{S}} --delivery queue",
    "raw epoll": f"{BIN}/server_raw {{S}} --file {{F}}",
    "nginx": "nginx",
    "h2o": "h2o",
    "libmicrohttpd": f"{BIN}/server_microhttpd {{S}}",
    "libmicrohttpd threads": f"{BIN}/server_microhttpd {{S}} --threads",
    "libmicrohttpd poll": f"{BIN}/server_microhttpd {{S}} --poll",
    "libmicrohttpd large": f"{BIN}/server_microhttpd {{S}} --large",
    "libevent": f"{BIN}/server_libevent {{S}}",
    "libwebsockets": f"{BIN}/server_libwebsockets {{S}}",
    "plain hyper": f"{BIN}/target/release/hyper_server {{S}}",
    "Go": f"{BIN}/server_go {{S}} {{F}}",
}

INLINE = ["hysock", "raw epoll", "nginx", "plain hyper"]
EVERYBODY = INLINE + ["h2o", "libmicrohttpd", "libevent", "libwebsockets", "Go"]
READERS = ["hysock", "raw epoll", "plain hyper", "libmicrohttpd", "libevent", "Go"]
SPIN = "--spin --requests 50000"
FILE_BYTES = 1 << 30


def served(name, options, file=None):
    def run():
        with Server(SERVERS[name], file=file) as server:
            return load(server, options)

    return run


def servers(name, title, options, who, reference="plain hyper", **more):
    runs = {one: served(one, options) for one in who}
    more.setdefault("figure", "cpu_us")
    more.setdefault("unit", "us of CPU a request")
    return Scenario(name, title, who=runs, reference=reference, **more)


def over(names, numbers, options, **more):
    """Each of the servers at each of the numbers, which `options` has as {N}: curves."""
    who, points = {}, {}
    for n in numbers:
        for name in names:
            at = f"{name}, {n:,}"
            who[at] = served(name, options.replace("{N}", str(n)))
            points[at] = (name, n)
    return Scenario(who=who, points=points, **more)


def second_opinion(name):
    def run():
        with Server(SERVERS[name]) as server:
            h2load(server, 6400, 64)  # warm, as the load generator's first tenth
            return h2load(server, 64000, 64)

    return run


def started(name):
    """From the start of the process to its first accepted connection."""

    def run():
        with Server(SERVERS[name]) as server:
            return {"start_ms": server.start_ms}

    return run


def idle(run):
    """Bytes of memory for each of the connections that rest, from a run with 10,000 of them."""

    def measured():
        result = run()
        result["idle_bytes"] = result["grown_kb"] * 1024 / 10000
        return result

    return measured


def small_requests():
    return [
        servers(
            "get-64", "server: small GET, 64 connections", "--spin --requests 100000 --connections 64",
            EVERYBODY + ["hysock pool", "hysock queue"], quick=True,
            bars=[
                Bar("hysock", "nginx", 1.03), Bar("hysock", "plain hyper", 1.00),
                Bar("hysock", "raw epoll", 1.30), Bar("hysock pool", "libmicrohttpd", 1.00),
                Bar("hysock queue", "hysock", 1.25),
            ],
        ),
        Scenario(
            "get-64-h2load", "server: small GET, 64 connections, by h2load", "cpu_us", "us of CPU a request",
            {name: second_opinion(name) for name in INLINE + ["h2o"]}, reference="plain hyper",
        ),
        servers("get-1", "server: small GET, 1 connection", "--spin --requests 15000 --connections 1", EVERYBODY),
        servers("get-8", "server: small GET, 8 connections", f"{SPIN} --connections 8", EVERYBODY),
        servers("get-512", "server: small GET, 512 connections", f"{SPIN} --connections 512",
                ["libmicrohttpd poll" if name == "libmicrohttpd" else name for name in EVERYBODY]),
        servers(
            "headers-20", "server: GET with 20 headers, 64 connections",
            f"{SPIN} --connections 64 " + " ".join(f"--header 'x-header-{i}: value of {i}'" for i in range(20)),
            EVERYBODY,
        ),
        servers("fresh", "server: a new connection for each request", "--fresh --spin --requests 20000 --connections 8",
                EVERYBODY, quick=True, bars=[Bar("hysock", "plain hyper", 1.10)]),
    ]


def bodies(file):
    readers = [name for name in READERS if name != "libevent"]
    readers[readers.index("libmicrohttpd")] = "libmicrohttpd large"
    return [
        servers("post-1k", "server: POST of 1 KiB, 64 connections",
                f"{SPIN} --connections 64 --method POST --body 1024", READERS + ["libwebsockets"]),
        servers("post-1m", "server: POST of 1 MiB, 8 connections",
                "--requests 1000 --connections 8 --method POST --body 1048576", READERS + ["libmicrohttpd large"]),
        servers("upload", "server: an upload of 1 GiB", f"--requests 1 --connections 1 --target /upload --method POST "
                f"--body {FILE_BYTES}", readers, figure="per_s", unit="GiB a second", more_is_better=True,
                hidden=LATENCIES),
        Scenario(
            "download", "server: a file of 1 GiB", "per_s", "GiB a second",
            {name: served(name, "--requests 2 --connections 1 --target /file", file)
             for name in ("hysock", "nginx", "h2o", "Go", "raw epoll")},
            reference="nginx", more_is_better=True, bars=[Bar("hysock", "nginx", 1.0, at_least=True)], hidden=LATENCIES,
        ),
    ]


def waiting():
    """Handlers that block, connections that rest or grow in number, requests that are due at even times."""
    slow = [
        servers(
            f"slow-{ms}", f"server: handlers that block for {ms} ms, 64 connections",
            f"--requests {n} --connections 64 --target /slow/{ms}",
            ["hysock pool of 64", "plain hyper", "libmicrohttpd threads", "Go"],
            figure="per_s", unit="requests a second", more_is_better=True,
        )
        for ms, n in ((1, 20000), (20, 2000))
    ]
    # Not libwebsockets: its poll looks at all 10,000 each time.
    memory = servers("idle", "server: memory of an idle connection (10,000 of them)",
                     "--idle 10000 --requests 1000 --connections 1 --settle 2000",
                     [name for name in EVERYBODY if name != "libwebsockets"],
                     figure="idle_bytes", unit="bytes a connection", hidden=LATENCIES + ("per_s", "cpu_us", "user_us", "system_us"),
                     bars=[Bar("hysock", None, 2048)], rounds=3)
    memory.who = {name: idle(run) for name, run in memory.who.items()}
    return slow + [
        memory,
        over(
            INLINE, (1, 64, 1000, 10000), f"{SPIN} --connections {{N}}", name="growth",
            title="server: small GET as connections grow", figure="cpu_us", unit="us of CPU a request",
            reference="hysock, 64", axis="connections", curves=("cpu_us",),
            bars=[Bar("hysock, 10,000", "hysock, 64", 1.5)],
        ),
        # Open loop: a stall counts for all requests that were due in it.
        over(
            ["hysock", "nginx", "plain hyper", "libmicrohttpd"], (10000, 20000, 50000, 100000, 200000),
            "--rate {N} --requests {N} --connections 64", name="rate",
            title="server: latency at so many requests a second", figure="p99_us", unit="us, 99th percentile",
            axis="requests a second", curves=LATENCIES,
        ),
    ]


def library():
    size = {"hysock": "server_hysock", "libmicrohttpd": "server_microhttpd", "libevent": "server_libevent",
            "libwebsockets": "server_libwebsockets", "plain hyper": "target/release/hyper_server", "Go": "server_go"}
    return [
        Scenario(
            "start", "server: from exec to the first connection", "start_ms", "ms",
            {name: started(name) for name in EVERYBODY}, reference="plain hyper",
        ),
        Scenario(
            "size", "server: what its program brings along, without the C library", "bytes", "bytes",
            {name: lambda program=program: carried(BIN / program) for name, program in size.items()},
            reference="plain hyper", rounds=1,
        ),
    ]


def server_scenarios(file):
    return small_requests() + bodies(file) + waiting() + library()
