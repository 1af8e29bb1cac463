"""The stated minimum Rust version, as far as it can be checked with a newer one.

`make lint` runs clippy with incompatible_msrv as an error: no use of a younger std. Here: that this
lint bites, and that no dependency asks for more than we state.
"""

import json
import shutil
import tomllib

from conftest import ROOT, run, tool

PACKAGE = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]


def number(version):
    parts = [int(part) for part in version.split(".")]
    return (parts + [0, 0])[:3]


def test_no_dependency_needs_a_newer_rust():
    done = run(
        tool("cargo"), "metadata", "--format-version=1", "--all-features",
        "--filter-platform=x86_64-unknown-linux-gnu", cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metadata = json.loads(done.stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    packages = [one for one in metadata["packages"] if one["id"] in used]
    assert {"hysock", "tokio", "hyper"} <= {one["name"] for one in packages}
    newer = {
        one["name"]: one["rust_version"]
        for one in packages
        if one["rust_version"] and number(one["rust_version"]) > number(PACKAGE["rust-version"])
    }
    assert newer == {}


def test_the_lint_bites(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text(
        f'[package]\nname = "bite"\nversion = "0.1.0"\nedition = "{PACKAGE["edition"]}"\n'
        f'rust-version = "{PACKAGE["rust-version"]}"\n'
    )
    if (ROOT / "clippy.toml").exists():
        shutil.copy(ROOT / "clippy.toml", tmp_path)
    # File::lock is of Rust 1.89.
    assert number(PACKAGE["rust-version"]) < [1, 89, 0], "choose a younger function for this test"
    (tmp_path / "src" / "lib.rs").write_text(
        "pub fn lock(file: &std::fs::File) -> std::io::Result<()> {\n    file.lock()\n}\n"
    )
    lint = [tool("cargo"), "clippy", "--quiet", "--", "-D", "clippy::incompatible_msrv"]
    done = run(*lint, cwd=tmp_path, timeout=120)
    assert done.returncode != 0
    assert "current MSRV" in done.stderr
    makefile = (ROOT / "Makefile").read_text()
    assert "-D clippy::incompatible_msrv" in makefile
