"""What a small request or call costs, by layer: a table, and a picture in which width is CPU time.

breakdown.py [--callgrind] [--requests N] [server|client|blocking]...

Writes docs/breakdown-NAME.svg. By default perf samples the program under load, kernel included. Without perf, or with
--callgrind, callgrind counts its instructions instead: those in user space alone. The library is built once more for
it, with line tables, so that code that was inlined still counts for the file that it was written in.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from html import escape
from pathlib import Path

from client_scenarios import BLOCKING, CALLS
from measure import BIN, DEADLINE, HERE, Server, load, pinned
from server_scenarios import SERVERS

ROOT = HERE.parent
LEAST = 0.004  # of the whole: what is smaller is not drawn
COLOURS = {"kernel": "#94a3b8", "hysock": "#ea580c", "hyper": "#0ea5e9", "tokio": "#22c55e", "libc": "#c084fc"}
TITLES = {
    "server": "A small GET, 64 connections, inline delivery: the server",
    "client": "A small GET, 64 calls in flight: the client",
    "blocking": "A small GET, one call after the other: the client",
}


def layer(file):
    """Where a source file belongs, from the outside in; None for Rust's own library, whose callers say more."""
    ours = re.match(rf"{re.escape(str(ROOT))}/src/(.*)\.rs", file)
    if ours:
        parts = ours.group(1).split("/")
        folder = "/".join(parts[:2]) if parts[0] == "http" and len(parts) > 2 else parts[0]
        return ["hysock", folder, "/".join(parts[folder.count("/") + 1:]) or folder]
    crate = re.search(r"/([A-Za-z0-9_-]+?)-\d+\.\d+[^/]*/src/(.*)\.rs", file)
    if crate is None:
        return None
    name, rest = crate.groups()
    if name in ("hyper", "tokio"):
        return [name, *rest.split("/")[:3]]
    return ["tokio", "mio"] if name == "mio" else ["other crates", name]


def libc(symbol):
    for name, pattern in (("malloc", "alloc|free"), ("memcpy and the like", "mem|str"),
                          ("system calls", "epoll|send|recv|accept|ioctl|syscall|write|read")):
        if re.search(pattern, symbol):
            return ["libc", name]
    return ["libc", "other"]


class Library:
    """Tells of addresses in the library which file they were written in, through inlined code."""

    def __init__(self, path):
        self.path, self.layers = path, {}
        out = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        self.symbols = {words[2]: int(words[0], 16) for words in map(str.split, out.splitlines()) if len(words) == 3}

    def address(self, symbol, offset):
        return self.symbols.get(symbol, 0) + offset

    def look_up(self, addresses):
        asked = "".join(f"{address:#x}\n" for address in addresses)
        out = subprocess.run(["addr2line", "-a", "-i", "-e", self.path], input=asked, capture_output=True, text=True,
                             check=True).stdout
        for part in re.split(r"^0x", out, flags=re.M)[1:]:
            address, *files = part.splitlines()
            found = (layer(file.rsplit(":", 1)[0]) for file in files)
            self.layers[int(address, 16)] = next(filter(None, found), ["Rust's library"])


def kernel(frames):
    """`frames`: names from the innermost out. By system call, then what that called."""
    for at, name in enumerate(frames):
        call = re.match(r"__x64_sys_(\w+)|asm_(exc_page_fault|sysvec\w+|common_interrupt)", name)
        if call and call.group(1):
            inner = [frame for frame in reversed(frames[:at]) if not re.match(r"_*(sys|sock)_\w*$", frame)]
            return ["kernel", call.group(1).removesuffix("from").removesuffix("to"), *inner[:4]]
        if call:
            return ["kernel", "page faults" if "fault" in name else "interrupts"]
    return ["kernel", "entry and exit"]


def samples(data):
    """perf's samples: each a list of (symbol, offset, file), from the innermost frame out."""
    out = subprocess.run(["perf", "script", "-i", data, "--no-inline", "--no-demangle", "-F", "ip,sym,symoff,dso"],
                         capture_output=True, text=True, check=True).stdout
    for block in re.split(r"\n\s*\n", out):
        frames = re.findall(r"^\s*[0-9a-f]+ (.*?)(?:\+0x([0-9a-f]+))? \((.*)\)$", block, re.M)
        if frames:
            yield [(symbol, int(offset or "0", 16), file) for symbol, offset, file in frames]


def fold_samples(data, library):
    counts, waiting = Counter(), Counter()
    for frames in samples(data):
        symbol, offset, file = frames[0]
        if "kernel" in file:
            counts[tuple(kernel([name for name, _, where in frames if "kernel" in where]))] += 1
        elif "libhysock" in file:
            waiting[library.address(symbol, offset)] += 1
        elif "libc.so" in file or "vdso" in file or "ld-linux" in file:
            counts[tuple(libc(symbol))] += 1
        else:
            counts[("the program",)] += 1
    library.look_up(waiting)
    for address, n in waiting.items():
        counts[tuple(library.layers[address])] += n
    return counts


def fold_callgrind(data):
    """Each line's own cost, by the file of the innermost inlined code. Names are written once, then by number."""
    counts, names, at, calls = Counter(), {}, {}, False
    for line in Path(data).read_text().splitlines():
        named = re.match(r"(c?)(fl|fi|fe|ob|fn)=(\(\d+\)) ?(.*)", line)
        if named:
            callee, kind, number, name = named.groups()
            kind = "file" if kind in ("fl", "fi", "fe") else kind
            name = names.setdefault((kind, number), name) if name else names[kind, number]
            if not callee:
                at[kind] = name
        elif line.startswith("calls="):
            calls = True  # the next line is what the callee cost
        elif re.match(r"[+*\d-]", line) and " " in line:
            if not calls:
                counts[counted(at["ob"], at["file"], at["fn"])] += int(line.split()[1])
            calls = False
    return counts


def counted(binary, file, function):
    if "libc.so" in binary or "ld-linux" in binary:
        return tuple(libc(function))
    return tuple(layer(file) or (["Rust's library"] if "libhysock" in binary else ["the program"]))


def table(counts):
    whole = sum(counts.values())
    lines = ["| layer | share |", "|---|---|"]
    for depth in (1, 2):
        shares = Counter()
        for path, n in counts.items():
            if len(path) >= depth:
                shares[path[:depth]] += n / whole
        rows = [f"| {', '.join(path)} | {share:.1%} |" for path, share in shares.most_common() if share >= 0.01]
        lines += rows if depth == 1 else ["| | |", *rows]
    return "\n".join(lines)


def picture(counts, title):
    """The whole on top, under each box what it consists of."""
    width, row, whole = 1000, 19, sum(counts.values())
    boxes = []

    def draw(prefix, left, depth):
        shares = Counter()
        for path, n in counts.items():
            if path[:depth] == prefix and len(path) > depth:
                shares[path[depth]] += n
        for name, n in shares.most_common():
            if n / whole >= LEAST:
                boxes.append((left, depth, n, (*prefix, name)))
                draw((*prefix, name), left, depth + 1)
            left += n * width / whole

    draw((), 0, 0)
    height = 46 + row * (1 + max(depth for _, depth, _, _ in boxes))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             f'font-size="11">', f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="4" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
             f'<text x="4" y="36" fill="#475569">{whole:,} in all; each box stands for a share of the one above</text>']
    for left, depth, n, path in boxes:
        y, wide = 42 + depth * row, n * width / whole
        room = int(wide / 6.2)
        text = f"{path[-1]} {n / whole:.0%}" if len(path[-1]) + 4 <= room else path[-1][:room] if room > 3 else ""
        parts.append(f'<g><title>{escape(", ".join(path))}: {n / whole:.1%}</title><rect x="{left:.1f}" y="{y}" '
                     f'width="{wide:.1f}" height="{row - 1}" fill="{COLOURS.get(path[0], "#facc15")}" '
                     f'fill-opacity="{max(0.35, 0.95 - 0.15 * depth):.2f}" stroke="white" stroke-width="0.5"/>'
                     + (f'<text x="{left + 3:.1f}" y="{y + 13}">{escape(text)}</text>' if text else "") + "</g>")
    return "\n".join(parts + ["</svg>", ""])


def watched(tool, data, command):
    """The command with perf or callgrind before it."""
    if tool == "perf":
        return ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4999", "-g", "-o", data, *command]
    return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={data}", *command]


def run(name, tool, data, library, requests):
    prefix = ["env", f"LD_LIBRARY_PATH={Path(library).parent}"]
    if name == "server":
        with Server(" ".join([*prefix, *watched(tool, data, [SERVERS["hysock"]])])) as server:
            load(server, f"--spin --connections 64 --requests {requests}")
        return
    command = (CALLS if name == "client" else BLOCKING)["hysock"]
    with Server(SERVERS["raw epoll"], core=1) as server:
        argv = command.format(S=server.path, N=requests).split()
        child = pinned(0, prefix + watched(tool, data, argv), stdout=subprocess.DEVNULL)
        try:
            if child.wait(DEADLINE) != 0:
                sys.exit(f"breakdown: {' '.join(argv)} failed")
        finally:
            child.kill()
            child.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--callgrind", action="store_true")
    parser.add_argument("--requests", type=int)
    parser.add_argument("names", nargs="*", metavar="server|client|blocking", default=list(TITLES))
    given = parser.parse_args()
    if set(given.names) - set(TITLES):
        parser.error(f"one of {', '.join(TITLES)}")
    tool = "callgrind" if given.callgrind or not shutil.which("perf") else "perf"
    subprocess.run(["make", "-s", "-C", HERE, "profiled"], check=True)
    path = BIN / "profiled" / "libhysock.so"
    for name in given.names:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            data = f"{folder}/data"
            run(name, tool, data, path, given.requests or (400_000 if tool == "perf" else 20_000))
            counts = fold_samples(data, Library(path)) if tool == "perf" else fold_callgrind(data)
        what = "CPU time in samples" if tool == "perf" else "instructions in user space"
        (ROOT / "docs" / f"breakdown-{name}.svg").write_text(picture(counts, f"{TITLES[name]}, {what}"))
        print(f"{TITLES[name]}, {what}\n\n{table(counts)}\n")


if __name__ == "__main__":
    main()
