"""make bench: every scenario, hysock and its peers in turn, several rounds; see docs/performance.md.

run.py [--quick] [--rounds N] [--only NAME,...] [--list]

Writes results/latest.json, results/latest.md and results/*.svg beside this file.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from measure import HERE, more_descriptors
from scenarios import all_scenarios


def progress(done, of, what):
    if sys.stderr.isatty():
        width = 30
        full = width * done // of
        print(f"\r[{'#' * full}{'.' * (width - full)}] {done}/{of} {what:<60.60}", end="", file=sys.stderr)
        if done == of:
            print(file=sys.stderr)
    else:
        print(f"{done}/{of} {what}", file=sys.stderr)


def measure_all(scenarios, rounds):
    """Round by round through all participants of a scenario, every second round backwards."""
    steps = sum(len(scenario.who) for scenario in scenarios) * rounds
    done, results = 0, {}
    for scenario in scenarios:
        runs = {name: [] for name in scenario.who}
        for number in range(rounds):
            names = list(scenario.who)
            for name in names if number % 2 == 0 else reversed(names):
                progress(done, steps, f"{scenario.name}: {name}")
                runs[name].append(scenario.who[name]())
                done += 1
        results[scenario.name] = summary(scenario, runs)
    progress(steps, steps, "done")
    return results


def ratios(runs, key, name, other):
    """Of each round by itself: the machine is another one in the next."""
    return [a[key] / b[key] for a, b in zip(runs[name], runs[other]) if b[key]]


def summary(scenario, runs):
    key = scenario.figure
    who = {}
    for name, results in runs.items():
        values = [result[key] for result in results]
        who[name] = {
            "median": statistics.median(values), "min": min(values), "max": max(values),
            "ratio": statistics.median(ratios(runs, key, name, scenario.reference) or [0]),
            "runs": results,
        }
    bars = []
    for bar in scenario.bars:
        ratio = statistics.median(ratios(runs, key, bar.of, bar.than))
        met = ratio >= bar.ratio if bar.at_least else ratio <= bar.ratio
        bars.append({"of": bar.of, "than": bar.than, "bar": bar.ratio, "at_least": bar.at_least, "ratio": ratio,
                     "met": met})
    return {"title": scenario.title, "figure": key, "unit": scenario.unit, "reference": scenario.reference,
            "more_is_better": scenario.more_is_better, "who": who, "bars": bars}


def about():
    """What the figures were measured on."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    library = HERE.parent / "build" / "libhysock.so"
    return {"time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "processor": model, "cores": os.cpu_count(),
            "kernel": platform.release(), "hysock": commit.stdout.strip(), "library_bytes": library.stat().st_size}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true")
    options.add_argument("--rounds", type=int)
    options.add_argument("--only", default="")
    options.add_argument("--list", action="store_true")
    options = options.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: two cores are needed, one for each side")
    more_descriptors()
    with tempfile.NamedTemporaryFile(prefix="bench-file-", dir="/var/tmp") as file:
        file.truncate(1 << 30)
        scenarios = all_scenarios(file.name)
        if options.list:
            print("\n".join(f"{scenario.name:12} {scenario.title}" for scenario in scenarios))
            return
        wanted = options.only.split(",") if options.only else None
        chosen = [s for s in scenarios if (s.name in wanted if wanted else s.quick or not options.quick)]
        if not chosen or (wanted and len(chosen) < len(wanted)):
            sys.exit(f"bench: no such scenario among {options.only}; --list names them")
        rounds = options.rounds or (3 if options.quick else 5)
        results = measure_all(chosen, rounds)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    whole = {"about": about() | {"rounds": rounds}, "scenarios": results}
    (folder / "latest.json").write_text(json.dumps(whole, indent=1) + "\n")
    report.write(whole, folder)
    print((folder / "latest.md").read_text())


main()
