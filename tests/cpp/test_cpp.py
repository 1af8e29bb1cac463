"""The C++ face: its programs run plain and with sanitizers, it compiles wherever it is promised to,
clang-tidy finds nothing, and it reaches every function of hysock.h."""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, run, tool

sys.path.insert(0, str(ROOT / "tests" / "header"))
import elements  # noqa: E402

HERE = Path(__file__).resolve().parent
INCLUDE = ROOT / "include"
HEADERS = [INCLUDE / "hysock.hpp", *sorted((INCLUDE / "hysock").glob("*.hpp"))]
DELIVERIES = ["pool", "inline", "queue"]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{INCLUDE}"]
PEDANTIC = ["-Wshadow", "-Wconversion", "-Wsign-conversion", "-Wold-style-cast", "-Wextra-semi"]
BARE = ["-fno-exceptions", "-fno-rtti"]

# Every program, with the arguments that it is run with.
PROGRAMS = {
    "test_callbacks": DELIVERIES,
    "test_coro": [None],
    "test_fork": [None],
    "test_http": DELIVERIES,
    "test_messages": DELIVERIES,
    "test_objects": [None],
    "test_upload": [None],
}
RUNS = [(program, arg) for program, args in PROGRAMS.items() for arg in args]

# What hysock.hpp leaves out, and why.
LEFT_OUT = {
    "hysock_str_equal": "std::string_view compares itself",
    "hysock_str_copy": "std::string_view copies itself",
    "hysock_queue_take": "for languages without callbacks: a C++ callback is a lambda with its own end",
}


@pytest.fixture(scope="session")
def built():
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = run(tool("make"), "-j2", "-C", HERE, timeout=600, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_program_is_run():
    assert {path.stem for path in HERE.glob("*.cpp")} == set(PROGRAMS)


@pytest.mark.parametrize("variant", ["plain", "asan"])
@pytest.mark.parametrize(("program", "arg"), RUNS)
def test_program(built, sockdir, program, arg, variant):
    env = {
        **os.environ,
        "TMPDIR": str(sockdir),
        "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }
    done = run(HERE / "bin" / variant / program, *[arg] if arg else [], timeout=120, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def compiled(compiler, standard, source, *options):
    """The complaints about a source, which should be none."""
    done = run(
        tool(compiler), f"-std={standard}", *STRICT, *options, "-fsyntax-only", "-xc++", source,
        timeout=120,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr or str(done.returncode)


def all_compiled(jobs):
    with ThreadPoolExecutor(2) as two:
        complaints = two.map(lambda job: compiled(*job), jobs)
        for job, complaint in zip(jobs, complaints, strict=True):
            assert complaint == "", f"{job}\n{complaint}"


def test_compiles_in_every_language_and_compiler(tmp_path):
    """What is not built above: there are g++ with C++17 and BARE, and clang++ with C++20."""
    plain, coro = tmp_path / "plain.cpp", tmp_path / "coro.cpp"
    plain.write_text("#include <hysock.hpp>\n#include <hysock.hpp>\nint main() {}\n")
    coro.write_text("#include <hysock/coro.hpp>\n#include <hysock/coro.hpp>\nint main() {}\n")
    http, coroutines = HERE / "test_http.cpp", HERE / "test_coro.cpp"
    all_compiled(
        [
            ("g++", "c++17", plain),
            ("g++", "c++20", coro, *PEDANTIC),
            ("g++", "c++20", coro, *BARE),
            ("g++", "c++2b", http),
            ("g++", "c++2b", coro, *BARE),
            ("clang++", "c++17", http, *BARE),
            ("clang++", "c++17", plain),
            ("clang++", "c++20", coro, *BARE),
            ("clang++", "c++2b", http),
            ("clang++", "c++2b", coroutines, *BARE),
        ]
    )


def test_mistakes_are_noticed(tmp_path):
    """The checks bite, and so do the types."""
    lines = {
        "s.start();": "nodiscard",
        "r.after(hysock::no_wait, [] {});": "nodiscard",
        "auto copy = s;": "deleted",
        "(void)s.add_route(nullptr, nullptr, [](int) {});": "a function of",
        "(void)s.wait(1000);": "convert",
    }
    source = tmp_path / "mistakes.cpp"
    start = "#include <hysock.hpp>\nvoid f(hysock::server &s, hysock::runtime &r) {\n(void)s, (void)r;\n"
    source.write_text(start + "\n".join(lines) + "\n}\n")
    found = compiled("g++", "c++17", source)
    for number, (line, complaint) in enumerate(lines.items(), 4):
        assert re.search(rf"mistakes.cpp:{number}:(.|\n)*?{complaint}", found), (line, found)


def code(path):
    """A header without its comments."""
    return re.sub(r"//[^\n]*", "", path.read_text())


def test_every_function_is_reached():
    """A function that is added to hysock.h is added here, or left out for a reason."""
    used = set()
    for path in HEADERS:
        used |= set(re.findall(r"\bhysock_\w+(?=[\s(,>)])", code(path)))
    public, _ = elements.symbols()
    missing = {name for name in public if name not in used}
    assert missing == set(LEFT_OUT)


def test_every_constant_has_its_name():
    """So do the numbers, but those of texts and of hysock_queue_take()."""
    text = "".join(code(path) for path in HEADERS)
    known = {name for name in elements.macros() if not re.match(r"HYSOCK_(VERSION|H$|NTS|PRI|EVENT_)", name)}
    assert {name for name in known if not re.search(rf"\b{name}\b", text)} == set()


def test_docs_name_the_function_that_they_are_of():
    """Each wrapper that says which function it is does call it."""
    for path in HEADERS:
        text = path.read_text()
        documented = set(re.findall(r"^ *(?:///|//) (hysock_\w+)\(\): ", text, re.M))
        assert documented <= set(re.findall(r"hysock_\w+", code(path))), path


def test_clang_tidy_finds_nothing():
    """The checks are those of .clang-tidy. This source includes every header."""
    done = run(
        tool("clang-tidy"), "--quiet", ROOT / "examples-cpp" / "coroutines.cpp",
        "--", "-std=c++20", f"-I{INCLUDE}", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
