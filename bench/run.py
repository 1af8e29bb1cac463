"""make bench: every scenario, hysock and its peers in turn, several rounds; see docs/performance.md.

run.py [--quick] [--rounds N] [--minutes M] [--only NAME,...] [--list]

By default five rounds, or as many as 25 minutes have room for; --quick: three, or two minutes. --rounds N alone means N.

Writes results/latest.json, results/latest.md and results/*.svg beside this file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import instructions
import report
from client_scenarios import client_scenarios
from measure import HERE, Failed, more_descriptors
from message_scenarios import message_scenarios
from scenario import is_hysock, is_raw, summary
from server_scenarios import FILE_BYTES, server_scenarios

ROUNDS, MINUTES = 5, 25  # at most
QUICK_ROUNDS, QUICK_MINUTES = 3, 2


class Progress:
    """A bar on a terminal, else a line for each step: how much is done, since when, what runs."""

    def __init__(self, steps, minutes):
        self.steps, self.limit, self.done, self.begin = steps, minutes * 60, 0, time.monotonic()

    def seconds(self):
        return time.monotonic() - self.begin

    def share(self):
        """Of the steps, or of the time when that will end first."""
        return 1.0 if self.done == self.steps else min(0.99, max(self.done / self.steps, self.seconds() / self.limit))

    def show(self, what):
        minutes, seconds = divmod(int(self.seconds()), 60)
        share, at = self.share(), f"{minutes}:{seconds:02}"
        if sys.stderr.isatty():
            full = int(30 * share)
            print(f"\r[{'#' * full}{'.' * (30 - full)}] {share:4.0%} {at:>5} {what:<50.50}", end="", file=sys.stderr)
            if share == 1.0:
                print(file=sys.stderr)
        else:
            print(f"{share:4.0%} {at:>5} {what}", file=sys.stderr, flush=True)


def measured(run, name):
    """One run. A peer that does not do its work may try once more: ZeroMQ 4.3.4 stops now and then for good."""
    for _ in range(2):
        try:
            return run()
        except Failed as error:
            if is_hysock(name) or is_raw(name):
                raise
            print(f"\n{name}: {error}", file=sys.stderr)
    return None


def measure_all(scenarios, rounds, minutes):
    """All scenarios, then all again, every second time backwards through the participants of each. As many rounds as
    were asked for, but none is begun that would not end in time. Returns how many it were, too."""
    steps = [sum(len(s.who) for s in scenarios if not 0 < s.rounds <= number) for number in range(rounds)]
    progress = Progress(sum(steps), minutes)
    runs = {scenario.name: {name: [] for name in scenario.who} for scenario in scenarios}
    for number in range(rounds):
        if number > 0 and progress.seconds() * (1 + steps[number] / progress.done) > minutes * 60:
            rounds = number
            break
        for scenario in scenarios:
            if not 0 < scenario.rounds <= number:
                one_round(scenario, runs[scenario.name], number, progress)
    progress.steps = progress.done
    progress.show("done")
    return {s.name: summary(s, runs[s.name]) for s in scenarios}, rounds, progress.seconds() / 60


def one_round(scenario, runs, number, progress):
    names = list(scenario.who)
    for name in names if number % 2 == 0 else reversed(names):
        progress.show(f"{scenario.name}: {name}")
        if runs[name] is not None:
            result = measured(scenario.who[name], name)
            runs[name] = None if result is None else [*runs[name], result]
        progress.done += 1


def about():
    """What the figures were measured on."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    library = HERE.parent / "build" / "libhysock.so"
    return {"time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "processor": model, "cores": os.cpu_count(),
            "kernel": platform.release(), "hysock": commit.stdout.strip(), "library_bytes": library.stat().st_size,
            "instructions": instructions.recorded()["figures"]}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def chosen(scenarios, given):
    wanted = given.only.split(",") if given.only else [s.name for s in scenarios if s.quick or not given.quick]
    unknown = set(wanted) - {scenario.name for scenario in scenarios}
    if unknown:
        sys.exit(f"bench: no such scenario: {', '.join(sorted(unknown))}; --list names them")
    return [scenario for scenario in scenarios if scenario.name in wanted]


def fill(file):
    """1 GiB without content, and all of it in the page cache: disks are not measured here."""
    file.truncate(FILE_BYTES)
    while file.read(1 << 20):
        pass


def main():
    given = options()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: two cores are needed, one for each side")
    more_descriptors()
    with tempfile.NamedTemporaryFile(prefix="bench-file-", dir="/var/tmp") as file:
        scenarios = server_scenarios(file.name) + client_scenarios(file.name) + message_scenarios()
        if given.list:
            print("\n".join(f"{scenario.name:16} {scenario.title}" for scenario in scenarios))
            return
        scenarios = chosen(scenarios, given)
        fill(file)
        rounds, minutes = (QUICK_ROUNDS, QUICK_MINUTES) if given.quick else (ROUNDS, MINUTES)
        if given.rounds:
            rounds, minutes = given.rounds, float("inf")
        results, rounds, minutes = measure_all(scenarios, rounds, given.minutes or minutes)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    whole = {"about": about() | {"rounds": rounds, "minutes": minutes}, "scenarios": results}
    (folder / "latest.json").write_text(json.dumps(whole, indent=1) + "\n")
    report.write(whole, folder)
    print((folder / "latest.md").read_text())


if __name__ == "__main__":
    main()
