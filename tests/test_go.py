"""The Go package, by Go's own tools: its tests with the race detector, and a static build."""

import subprocess

import pytest
from conftest import ROOT, go_environment, run, tool

SLOW = 600  # seconds, for the compiler: the first time it builds Go's own packages as well


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    """Runs the pinned toolchain's own go, on the library in build/, without network."""
    tool("pkg-config")
    folder = tmp_path_factory.mktemp("pkgconfig")
    (folder / "hysock.pc").write_text(
        "Name: hysock\nDescription: the library in this tree\nVersion: 0\n"
        f"Cflags: -I{ROOT}/include\nLibs: -L{ROOT}/build -Wl,-rpath,{ROOT}/build -lhysock\n"
    )
    toolchain, env = go_environment(PKG_CONFIG_PATH=str(folder))

    def call(name, *args):
        command = [toolchain / "bin" / name, *args]
        done = run(*command, timeout=SLOW, cwd=ROOT / "go", env=env, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return call


def test_format_and_vet(go):
    assert go("gofmt", "-l", ".") == ""
    go("go", "vet", "-race", ".")


def test_package_with_race_detector(go):
    out = go("go", "test", "-race", "-vet=off", "-count=1", "-timeout=300s", "-v", ".")
    for name in ("TestStorm", "TestReverseProxy", "TestUpgradeThroughReverseProxy", "Example", "ExampleReceiver",
                 "TestProducersWaitForASlowReceiver"):
        assert f"--- PASS: {name} (" in out, out
    assert "--- SKIP" not in out


def test_static(go, tmp_path):
    program = tmp_path / "static.test"
    go("go", "test", "-race", "-vet=off", "-tags", "hysock_static", "-c", "-o", program, ".")
    dynamic = run(tool("readelf"), "-d", program)
    assert dynamic.returncode == 0 and "NEEDED" in dynamic.stdout
    assert "libhysock" not in dynamic.stdout, dynamic.stdout
    done = run(program, "-test.run=Example|TestErrors|TestUpgrade", "-test.v", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--- PASS: Example (" in done.stdout
