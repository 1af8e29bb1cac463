"""The clients' scenarios: each against the raw server, or for 1 GiB its sendfile."""

from measure import BIN, Server, calls, download
from scenario import Bar, Scenario
from server_scenarios import FILE_BYTES, SERVERS

EXAMPLES = BIN.parent.parent / "examples-c" / "bin"
HYPERLOCAL = f"{BIN}/target/release/hyperlocal_calls {{S}}"

CALLS = {
    "hysock": f"{EXAMPLES}/many_calls {{S}} {{N}} 64",
    "hyperlocal": f"{HYPERLOCAL} {{N}} 64",
    "libcurl multi": f"{BIN}/calls_curl_multi {{S}} {{N}} 64",
    "Go": f"{BIN}/calls_go {{S}} {{N}} 64",
    "raw epoll": f"{BIN}/load {{S}} --requests {{N}} --connections 64",
}

BLOCKING = {
    "hysock": f"{BIN}/calls_hysock {{S}} {{N}}",
    "hyperlocal": f"{HYPERLOCAL} {{N}} 1",
    "libcurl easy": f"{BIN}/calls_curl_easy {{S}} {{N}}",
    "Go": f"{BIN}/calls_go {{S}} {{N}} 1",
    "raw send/recv": f"{BIN}/calls_raw {{S}} {{N}}",
}

DOWNLOADS = {  # all but one throw away what they read
    "hysock": f"{BIN}/download_hysock {{S}} /file read",
    "hysock to /dev/null": f"{BIN}/download_hysock {{S}} /file fd",
    "hyperlocal": f"{HYPERLOCAL} /file",
    "libcurl easy": f"{BIN}/calls_curl_easy {{S}} /file",
    "Go": f"{BIN}/calls_go {{S}} /file",
    "raw recv": f"{BIN}/calls_raw {{S}} /file",
}


def called(command, n, server_core):
    def run():
        with Server(SERVERS["raw epoll"], core=server_core) as server:
            return calls(server, command, n, 0)

    return run


def downloaded(command, file):
    def run():
        with Server(SERVERS["raw epoll"], core=1, file=file) as server:
            return download(server, command, FILE_BYTES, 0)

    return run


def client_scenarios(file):
    return [
        Scenario(
            "calls-64", "client: 64 calls in flight", "cpu_us", "us of CPU a call",
            {name: called(command, 100000, 1) for name, command in CALLS.items()},
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
            {name: called(f"{command} latency", 30000, 1) for name, command in BLOCKING.items()},
            reference="libcurl easy", bars=[Bar("hysock", "libcurl easy", 1.0)],
        ),
        Scenario(
            "client-download", "client: an answer of 1 GiB", "gib_s", "GiB a second",
            {name: downloaded(command, file) for name, command in DOWNLOADS.items()},
            reference="libcurl easy", more_is_better=True,
            bars=[Bar("hysock", "libcurl easy", 1.0, at_least=True)],
        ),
    ]
