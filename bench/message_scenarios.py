"""The message half's scenarios: receivers fed by producers of the same kind. The CPU time is the receiver's."""

from measure import messages
from scenario import Bar, Scenario


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
                "hysock inline": sent("hysock", "dgram-inline", 64, 500_000),
                "raw sendmmsg/recvmmsg": sent("raw", "dgram", 64, 500_000),
            }, reference="raw sendmmsg/recvmmsg", **rate,
            bars=[Bar(one, "raw sendmmsg/recvmmsg", 0.8, at_least=True) for one in ("hysock", "hysock inline")],
        ),
        Scenario(
            "message-latency", "messages of 100 bytes, one each 100 us, one way", who={
                # In a callback on the I/O thread: for whom the latency counts. Pulled, each message wakes two threads.
                "hysock": sent("hysock", "stream-inline", 1, 10_000, **paced),
                "hysock pulled": sent("hysock", "stream", 1, 10_000, **paced),
                "ZeroMQ": sent("zeromq", "stream", 1, 10_000, **paced),
                "nng": sent("nng", "stream", 1, 10_000, **paced),
                "raw write/read": sent("raw", "stream", 1, 10_000, **paced),
            }, reference="raw write/read", **late,
            bars=[Bar(one, "raw write/read", 2.0) for one in ("hysock", "hysock pulled")],
        ),
        Scenario(
            "producer-memory", "messages: memory of a producer that rests (1,000 of them)", "idle_bytes",
            "bytes a producer", {
                "hysock": sent("hysock", "stream", 256, 400_000, idle=1000),
                "raw write/read": sent("raw", "stream", 256, 400_000, idle=1000),
            }, reference="raw write/read", bars=[Bar("hysock", None, 16384)], rounds=3,
            hidden=("per_s", "cpu_us", "user_us", "system_us"),
        ),
        Scenario(
            "idle-producers", "messages in batches beside 1,000 producers that rest", who={
                "hysock, 1,000 idle": sent("hysock", "stream", 256, 4_000_000, idle=1000),
                "hysock": sent("hysock", "stream", 256, 4_000_000),
            }, reference="hysock", **rate, bars=[Bar("hysock, 1,000 idle", "hysock", 0.9, at_least=True)],
        ),
    ]
