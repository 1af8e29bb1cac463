"""What the built library says of itself: layout, exports, soname, flags."""

import os
import re
import tomllib

import elements
import pytest
from conftest import ROOT, run, tool

CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())
VERSION = CARGO["package"]["version"]
MAJOR, MINOR, _ = VERSION.split(".")
SONAME = f"libhysock.so.0.{MINOR}" if MAJOR == "0" else f"libhysock.so.{MAJOR}"
BUILD = ROOT / "build"
LIBRARY = BUILD / f"libhysock.so.{VERSION}"
SOURCES = ROOT / "tests" / "header"


def output(*argv):
    done = run(*argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported():
    lines = output(tool("nm"), "-D", "--defined-only", LIBRARY).splitlines()
    assert lines, f"{LIBRARY} exports nothing"
    return {line.split()[-1] for line in lines}


@pytest.mark.parametrize("compiler, standard", [("gcc", "c11"), ("clang", "c11"), ("g++", "c++11")])
def test_layout(compiler, standard):
    language = "c++" if "++" in standard else "c"
    output(
        tool(compiler), f"-std={standard}", f"-x{language}", "-Wall", "-Wextra", "-Wpedantic",
        "-Werror", "-fsyntax-only", f"-I{ROOT / 'include'}", SOURCES / "layout.c",
    )  # fmt: skip


@pytest.mark.parametrize("compiler, standard", [("gcc", "c99"), ("clang", "c99"), ("g++", "c++11")])
def test_header_and_library_are_of_one_version(compiler, standard, tmp_path):
    language = "c++" if "++" in standard else "c"
    output(
        tool(compiler), f"-std={standard}", f"-x{language}", "-Wall", "-Wextra", "-Wpedantic",
        "-Werror", f"-I{ROOT / 'include'}", SOURCES / "version.c", "-o", tmp_path / "version",
        "-xnone", f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-lhysock",
    )  # fmt: skip
    assert output(tmp_path / "version") == f"hysock {VERSION}\n"


def test_exports_are_the_symbol_list():
    public, hidden = elements.symbols()
    assert exported() == public | hidden


def test_header_has_the_symbols_of_the_list():
    public, _ = elements.symbols()
    assert {function.name for function in elements.functions()} == public


def test_archive_exports_the_same():
    lines = output(tool("nm"), "-g", "--defined-only", BUILD / "libhysock.a").splitlines()
    names = {line.split()[-1] for line in lines if re.match(r"[0-9a-f]+ [A-Zi] ", line)}
    assert names == exported()


def test_archive_is_small():
    # Under 7 MB. Without link-time optimization, or with all of the Rust runtime in it, it is several times
    # the shared library.
    size = (BUILD / "libhysock.a").stat().st_size
    assert size < 7_000_000 and size < 2.5 * LIBRARY.stat().st_size


def test_dynamic_section():
    text = output(tool("readelf"), "-dW", LIBRARY)
    assert re.findall(r"\(SONAME\).*\[(.*)\]", text) == [SONAME]
    flags = re.findall(r"\(FLAGS_1\) +Flags: (.*)", text)
    assert flags and {"NOW", "NODELETE"} <= set(flags[0].split())
    assert "TEXTREL" not in text
    assert "RPATH" not in text and "RUNPATH" not in text
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\.so", text))
    allowed = {"libgcc_s", "libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert "libc" in needed and needed <= allowed


def test_stack_is_not_executable_and_relocations_are_read_only():
    text = output(tool("readelf"), "-lW", LIBRARY)
    stack = next(line.split() for line in text.splitlines() if "GNU_STACK" in line)
    assert stack[6] == "RW"
    assert "GNU_RELRO" in text


def test_links():
    assert os.readlink(BUILD / "libhysock.so") == SONAME
    assert os.readlink(BUILD / SONAME) == LIBRARY.name
    assert [path.name for path in sorted(BUILD.glob("libhysock.so*"))] == sorted(
        {"libhysock.so", SONAME, LIBRARY.name}
    )


def test_dlclose_keeps_the_code(tmp_path):
    """nodelete at work: a function found before dlclose can be called after it."""
    source = tmp_path / "close.c"
    source.write_text(
        "#include <dlfcn.h>\n#include <stdint.h>\n#include <stdio.h>\n"
        "int main(int argc, char **argv) {\n"
        "    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : 0;\n"
        "    uint32_t (*number)(void);\n"
        "    if (!library) return 1;\n"
        '    *(void **)&number = dlsym(library, "hysock_version_number");\n'
        "    if (!number || dlclose(library) != 0) return 2;\n"
        '    printf("%u\\n", number());\n'
        "    return 0;\n}\n"
    )
    output(tool("gcc"), source, "-o", tmp_path / "close", "-ldl")
    major, minor, patch = map(int, VERSION.split("."))
    assert output(tmp_path / "close", LIBRARY) == f"{major << 16 | minor << 8 | patch}\n"
