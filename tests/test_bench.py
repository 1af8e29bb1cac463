"""What `make bench` makes of its runs: ratios of one round, bars, tables and plots. The runs themselves are not tests."""

import sys
import xml.etree.ElementTree as xml

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import breakdown  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from measure import Failed  # noqa: E402
from scenario import Bar, Scenario, summary  # noqa: E402


def runs(**figures):
    return {name.replace("_", " "): [{"cpu_us": figure, "p99_us": 2 * figure, "peak_kb": 2048} for figure in of]
            for name, of in figures.items()}


def get(**more):
    more.setdefault("reference", "h2o")
    return Scenario("get", "a GET", "cpu_us", "us", {}, **more)


def test_ratios_are_of_one_round():
    """The machine was twice as slow in the second round: no ratio knows of it."""
    result = summary(get(), runs(hysock=[2, 4, 2], nginx=[4, 8, 4], h2o=[8, 16, 8], raw_epoll=[1, 2, 1]))
    ours = result["who"]["hysock"]
    assert (ours["median"], ours["min"], ours["max"]) == (2, 2, 4)
    assert (ours["best_peer"], ours["to_best_peer"], ours["to_reference"], ours["to_raw"]) == ("nginx", 0.5, 0.25, 2)
    assert ours["figures"] == {"cpu_us": 2, "p99_us": 4, "peak_kb": 2048}


@pytest.mark.parametrize("bar, value, met", [
    (Bar("hysock", "nginx", 1.03), 1.05, False),
    (Bar("hysock", "nginx", 1.05), 1.05, True),
    (Bar("hysock", "nginx", 1.0, at_least=True), 1.05, True),
    (Bar("hysock", "nginx", 1.06, at_least=True), 1.05, False),
    (Bar("hysock", None, 2), 2.1, False),
    (Bar("hysock", None, 2.1), 2.1, True),
])
def test_bars(bar, value, met):
    (judged,) = summary(get(bars=[bar]), runs(hysock=[2.1], nginx=[2], h2o=[8]))["bars"]
    assert judged["value"] == pytest.approx(value)
    assert judged["met"] is met
    assert ("missed" in report.verdict(judged, "us")) is not met


def test_points_are_compared_with_their_own():
    points = {"hysock, 1": ("hysock", 1), "hysock, 64": ("hysock", 64), "h2o, 1": ("h2o", 1), "h2o, 64": ("h2o", 64)}
    scenario = get(points=points, axis="connections", curves=("cpu_us",), bars=[Bar("hysock, 64", "hysock, 1", 1.5)])
    result = summary(scenario, {"hysock, 1": [{"cpu_us": 2}], "hysock, 64": [{"cpu_us": 4}],
                                "h2o, 1": [{"cpu_us": 1}], "h2o, 64": [{"cpu_us": 8}]})
    assert result["who"]["hysock, 1"]["to_best_peer"] == 2
    assert result["who"]["hysock, 64"]["to_best_peer"] == 0.5
    assert result["bars"][0]["value"] == 2 and not result["bars"][0]["met"]


def test_a_peer_that_fails_is_left_out_and_named():
    result = summary(get(bars=[Bar("hysock", "nginx", 1.0), Bar("hysock", "h2o", 1.0)]),
                     runs(hysock=[2], h2o=[4]) | {"nginx": None})
    assert list(result["who"]) == ["hysock", "h2o"]
    assert [bar["than"] for bar in result["bars"]] == ["h2o"]
    assert "nginx" in "\n".join(report.table(result))


@pytest.mark.parametrize("minutes, rounds, order", [
    (60, 3, ["hysock", "nginx", "once", "nginx", "hysock", "hysock", "nginx"]),
    (1e-9, 1, ["hysock", "nginx", "once"]),
])
def test_rounds_take_turns_and_end_in_time(minutes, rounds, order):
    ran = []
    one = lambda name: lambda: ran.append(name) or {"cpu_us": 1}
    both = Scenario("both", "", "cpu_us", "us", {name: one(name) for name in ("hysock", "nginx")})
    once = Scenario("once", "", "cpu_us", "us", {"once": one("once")}, rounds=1)
    results, done, _ = run.measure_all([both, once], 3, minutes)
    assert (done, ran) == (rounds, order)
    assert len(results["both"]["who"]["nginx"]["runs"]) == rounds


def test_only_a_peer_may_fail():
    tried = []

    def fail():
        tried.append(1)
        raise Failed("it stopped")

    assert run.measured(fail, "nginx") is None and len(tried) == 2
    for name in ("hysock pool", "raw epoll"):
        with pytest.raises(Failed):
            run.measured(fail, name)


def test_the_report(tmp_path):
    points = {"hysock, 1": ("hysock", 1), "hysock, 64": ("hysock", 64)}
    growth = get(points=points, axis="connections", curves=("cpu_us",))
    about = {"hysock": "v0", "time": "now", "rounds": 1, "minutes": 1, "cores": 2, "processor": "?", "kernel": "6",
             "library_bytes": 1, "instructions": {"server": 1}}
    report.write({"about": about, "scenarios": {
        "get": summary(get(bars=[Bar("hysock", "h2o", 1.0)]), runs(hysock=[2, 3], h2o=[4, 5], raw_epoll=[1, 1])),
        "growth": summary(growth, {"hysock, 1": [{"cpu_us": 2}], "hysock, 64": [{"cpu_us": 4}]}),
    }}, tmp_path)
    text = (tmp_path / "latest.md").read_text()
    assert "| **hysock** | 2.50 | 2.00 | 3.00 |" in text and "p99 us" in text and "peak MiB" in text
    assert "| a GET | hysock / h2o | 0.55 | at most 1 | met |" in text
    assert {file.name for file in tmp_path.glob("*.svg")} == {"get.svg", "growth-cpu.svg"}
    for file in tmp_path.glob("*.svg"):
        xml.parse(file)
        assert file.name in text


def test_the_breakdown_knows_whose_code_it_is():
    crates = "/home/me/.cargo/registry/src/index-1/"
    for file, layer in [
        (f"{ROOT}/src/http/server/exchange.rs", ["hysock", "http/server", "exchange"]),
        (f"{ROOT}/src/http/body.rs", ["hysock", "http", "body"]), (f"{ROOT}/src/error.rs", ["hysock", "error", "error"]),
        (f"{crates}hyper-1.12.0/src/proto/h1/role.rs", ["hyper", "proto", "h1", "role"]),
        (f"{crates}mio-1.0.1/src/poll.rs", ["tokio", "mio"]), (f"{crates}http-1.5.0/src/uri.rs", ["other crates", "http"]),
        ("/rustc/1a2b/library/core/src/slice/mod.rs", None), ("??", None),
    ]:
        assert breakdown.layer(file) == layer
    frames = ["_copy_to_iter", "unix_stream_recvmsg", "sock_recvmsg", "__sys_recvfrom", "__x64_sys_recvfrom", "do_syscall_64"]
    assert breakdown.kernel(frames) == ["kernel", "recv", "unix_stream_recvmsg", "_copy_to_iter"]
    picture = xml.fromstring(breakdown.picture({("kernel", "recv"): 60, ("hysock", "ffi"): 40}, "a < b"))
    assert len(picture.findall(".//{*}g")) == 4


def test_callgrind_counts_by_file(tmp_path):
    """Names come once, then as numbers; the costs of what is called are not the caller's own."""
    (tmp_path / "out").write_text(f"""ob=(1) /x/libhysock.so.0.1
fl=(1) {ROOT}/src/ffi/exchange.rs
fn=(1) answer
10 5
fi=(2) /r/hyper-1.12.0/src/lib.rs
+3 7
fe=(1)
cob=(2) /lib/libc.so.6
cfi=(3) ???
cfn=(2) malloc
calls=1 0
* 100
ob=(2)
fl=(3)
fn=(2)
0 11
""")
    assert breakdown.fold_callgrind(tmp_path / "out") == {("hysock", "ffi", "exchange"): 5, ("hyper", "lib"): 7,
                                                          ("libc", "malloc"): 11}
