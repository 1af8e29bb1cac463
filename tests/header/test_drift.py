"""build.rs in a copy of the project: it notices drift, and says what to do about it."""

import os
import shutil

import pytest
from conftest import ROOT, run, tool

# The dependencies are built already, for the project itself: cargo finds them here.
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


@pytest.fixture
def copy(tmp_path):
    for name in ["Cargo.toml", "Cargo.lock", "build.rs", "cbindgen.toml"]:
        shutil.copy(ROOT / name, tmp_path)
    for name in ["src", "include"]:
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def check(copy, *arguments, **environment):
    inherited = {k: v for k, v in os.environ.items() if k != "HYSOCK_WRITE_HEADER"}
    return run(
        tool("cargo"), "check", "--quiet", "--lib", "--target-dir", TARGET, *arguments,
        cwd=copy, timeout=600, env={**inherited, **environment},
    )  # fmt: skip


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_drift_fails_and_names_the_command(copy):
    before = snapshot(copy)
    done = check(copy, "--features", "header")
    assert done.returncode == 0, done.stderr
    assert snapshot(copy) == before

    # A sentence changed in the source: the committed header is no longer what the sources give.
    source = copy / "src" / "ffi" / "status.rs"
    source.write_text(source.read_text().replace("//! ", "//! New: ", 1))
    before = snapshot(copy)
    done = check(copy, "--features", "header")
    assert done.returncode != 0
    assert "`make header`" in done.stderr and "include/hysock.h" in done.stderr
    assert snapshot(copy) == before

    # The feature is what pays for the check.
    done = check(copy)
    assert done.returncode == 0, done.stderr
    assert snapshot(copy) == before

    done = check(copy, "--features", "header", HYSOCK_WRITE_HEADER="1")
    assert done.returncode == 0, done.stderr
    header = copy / "include" / "hysock.h"
    assert " * New: " in header.read_text()
    assert [path for path, text in snapshot(copy).items() if before.get(path) != text] == [header]
    assert check(copy, "--features", "header").returncode == 0


def test_version_macros_follow_cargo(copy):
    manifest = copy / "Cargo.toml"
    lock = copy / "Cargo.lock"
    version = next(l for l in manifest.read_text().splitlines() if l.startswith("version"))
    manifest.write_text(manifest.read_text().replace(version, 'version = "3.14.15"', 1))
    entry = 'name = "hysock"\n'
    lock.write_text(lock.read_text().replace(entry + version, entry + 'version = "3.14.15"'))
    done = check(copy, "--features", "header", HYSOCK_WRITE_HEADER="1")
    assert done.returncode == 0, done.stderr
    header = (copy / "include" / "hysock.h").read_text()
    for line in [
        'VERSION "3.14.15"', "VERSION_MAJOR 3", "VERSION_MINOR 14", "VERSION_PATCH 15",
        "VERSION_NUMBER 0x030e0f",
    ]:  # fmt: skip
        assert f"#define HYSOCK_{line}\n" in header
