"""libhysock.a beside a second Rust static library in one program."""

import os

import pytest
from conftest import ROOT, run, tool

SOURCES = ROOT / "tests" / "header"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """The second library: link-time optimized, which is when symbols clash."""
    archive = tmp_path_factory.mktemp("second") / "libsecond.a"
    done = run(
        tool("rustc"), "--edition=2024", "--crate-type=staticlib", "-Copt-level=2", "-Clto=fat",
        "-Ccodegen-units=1", SOURCES / "second.rs", "-o", archive, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return archive


def link(tmp_path, *archives):
    program = tmp_path / "second"
    done = run(
        tool("gcc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
        f"-I{ROOT / 'include'}", SOURCES / "second.c", "-o", program,
        *archives, "-lpthread", "-lm", "-ldl", timeout=120,
    )  # fmt: skip
    return done, program


@pytest.mark.parametrize("order", ["hysock first", "hysock last"])
def test_two_rust_libraries_in_one_program(second, tmp_path, order):
    archives = [ROOT / "build" / "libhysock.a", second]
    if order == "hysock last":
        archives.reverse()
    done, program = link(tmp_path, *archives)
    assert done.returncode == 0, done.stderr
    done = run(program)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_archive_of_cargo_would_clash(second, tmp_path):
    """Why scripts/archive exists: when this fails, it is no longer needed."""
    archive = TARGET / "dist" / "libhysock.a"
    assert archive.is_file(), f"{archive} is missing: run `make`"
    done, _ = link(tmp_path, archive, second)
    assert done.returncode != 0
    assert "multiple definition" in done.stderr
