"""Reads include/hysock.h the way build.rs writes it: blocks between empty lines, each a comment, a
declaration, or a comment and its declaration."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "hysock.h"
SYMBOLS = ROOT / "tests" / "abi" / "symbols.txt"

FUNCTION = re.compile(r"^(?P<result>[\w ]+?[ *]+)(?P<name>hysock_\w+)\((?P<arguments>[^()]*)\);$")


@dataclass
class Function:
    name: str
    result: str
    arguments: str
    doc: list  # its comment, one entry a line


def comments(text):
    """The text of every comment."""
    return re.findall(r"/\*(.*?)\*/", text, re.S)


def split(block):
    """(comment lines, declaration) of a block; no lines when it has no comment of its own."""
    if found := re.fullmatch(r"/\*\* ([^\n]*) \*/\n(.*)", block, re.S):
        return [found[1]], found[2]
    found = re.fullmatch(r"/\*\*\n(.*?) \*/\n(.*)", block, re.S)
    if not found:
        return [], block
    lines = [re.sub(r"^ \* ?", "", line) for line in found[1].splitlines()]
    return lines, found[2]


def functions():
    found = []
    for block in HEADER.read_text().split("\n\n"):
        doc, declaration = split(block.strip())
        declaration = " ".join(declaration.split())
        if match := FUNCTION.match(declaration):
            found.append(Function(match["name"], match["result"], match["arguments"], doc))
    assert found, f"{HEADER}: no function found"
    return found


def macros():
    return set(re.findall(r"^#define (HYSOCK_\w+)", HEADER.read_text(), re.M))


def types():
    text = HEADER.read_text()
    handles = re.findall(r"^typedef struct (hysock_\w+) \1;", text, re.M)
    structs = re.findall(r"^} (hysock_\w+);", text, re.M)
    callbacks = re.findall(r"^typedef [\w *]+\(\*(hysock_\w+)\)\(", text, re.M)
    aliases = re.findall(r"^typedef \w+ (hysock_\w+);", text, re.M)
    assert handles and structs and callbacks and aliases
    return {*handles, *structs, *callbacks, *aliases}


def symbols():
    """(names of the ABI, names exported for tests only) of tests/abi/symbols.txt."""
    names = [
        line for line in SYMBOLS.read_text().splitlines() if line and not line.startswith("#")
    ]
    assert len(names) == len(set(names)), f"{SYMBOLS}: a name stands there twice"
    hidden = {name for name in names if name.startswith("hysock_test_")}
    return set(names) - hidden, hidden
