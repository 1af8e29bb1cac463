"""What a small request costs in instructions: see bench/instructions.py."""

import sys

import pytest

from conftest import ROOT, tool

sys.path.insert(0, str(ROOT / "bench"))

import instructions  # noqa: E402


@pytest.mark.parametrize("name", instructions.FIGURES)
def test_no_dearer_than_recorded(name):
    tool("valgrind")
    recorded = instructions.recorded()["figures"][name]
    # How threads meet moves the figure a little: the best of three.
    for _ in range(3):
        now = instructions.measure(name)
        if now <= recorded * instructions.WORSE:
            return
    pytest.fail(f"{name}: {now} instructions, {recorded} are recorded: make it cheaper, or write down why it "
                "is not: bench/instructions.py --note TEXT")
