"""Python without a package: cffi reads hysock.h in ABI mode and loads the library."""

import sys
from pathlib import Path

from conftest import ROOT, run

sys.path.insert(0, str(ROOT / "tests" / "header"))
import elements  # noqa: E402

HERE = Path(__file__).resolve().parent


def test_serves_and_calls(sockdir):
    done = run(
        sys.executable, HERE / "cffi_smoke.py", ROOT / "include" / "hysock.h",
        ROOT / "build" / "libhysock.so", sockdir / "s", timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    # All of the header came through, not a part of it.
    assert done.stdout == f"{len(elements.functions())} functions\n"
