"""Instructions for one small request or call, counted by callgrind: a figure that a noisy machine does not move.

instructions.py              prints the figures beside those of instructions.json
instructions.py --note TEXT  writes them there, with the reason for the change

tests/test_instructions.py fails when one is more than 3 % above the figure in instructions.json.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples-c" / "bin"
RECORD = HERE / "instructions.json"
WORSE = 1.03
FEW, MANY = 2000, 6000  # requests of the two runs whose difference counts
DEADLINE = 120


def totals(out):
    """What callgrind counted from a program's start to its end."""
    text = Path(out).read_text()
    return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1))


def callgrind(out, argv, **options):
    tool = ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}"]
    return subprocess.Popen([*tool, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def ended(process, ok=(0,)):
    out, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode in ok, f"{process.args}: status {process.returncode}: {errors}{out}"
    return out


def server(delivery):
    """hello_server under callgrind, many_calls calls it."""

    def run(folder, n):
        process = callgrind(f"{folder}/out", [EXAMPLES / "hello_server", f"{folder}/s", "--delivery", delivery])
        try:
            assert process.stdout.readline().startswith("listening"), process.stderr.read()
            calls = [EXAMPLES / "many_calls", f"{folder}/s", str(n), "64"]
            subprocess.run(calls, check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL)
            process.terminate()
            ended(process)
        finally:
            process.kill()
            process.wait()
        return totals(f"{folder}/out")

    return run


def client(program, *more):
    """A client under callgrind, hello_server answers it."""

    def run(folder, n):
        daemon = subprocess.Popen([EXAMPLES / "hello_server", f"{folder}/s", "--delivery", "inline"],
                                  stdout=subprocess.PIPE, text=True)
        try:
            assert daemon.stdout.readline().startswith("listening")
            ended(callgrind(f"{folder}/out", [EXAMPLES / program, f"{folder}/s", str(n), *more]))
            daemon.terminate()
            ended(daemon)
        finally:
            daemon.kill()
            daemon.wait()
        return totals(f"{folder}/out")

    return run


FIGURES = {
    "server, inline": server("inline"),
    "client, blocking": client("blocking_calls"),
    "client, 64 in flight": client("many_calls", "64"),
}


def measure(name):
    """Instructions for one request: the difference of two runs, so that start and end do not count."""
    def run(n):
        with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
            return FIGURES[name](folder, n)

    return round((run(MANY) - run(FEW)) / (MANY - FEW))


def recorded():
    return json.loads(RECORD.read_text()) if RECORD.exists() else {"figures": {}, "notes": []}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--note")
    note = options.parse_args().note
    record = recorded()
    now = {name: measure(name) for name in FIGURES}
    for name, figure in now.items():
        print(f"{name:24} {figure:7,}   recorded {record['figures'].get(name, 0):7,}")
    if note:
        record["figures"] = now
        record["notes"].append(f"{time.strftime('%Y-%m-%d', time.gmtime())}: {note}")
        RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
