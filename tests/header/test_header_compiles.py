"""The header compiles alone and twice, in every language version that we promise."""

import elements
import pytest
from conftest import ROOT, run, tool

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
TWICE = "#include <hysock.h>\n#include <hysock.h>\n"
COMPILERS = [
    (compiler, language, standard)
    for language, compilers, standards in [
        ("c", ["gcc", "clang"], ["c99", "c11", "c2x"]),
        ("c++", ["g++", "clang++"], ["c++11", "c++14", "c++17", "c++20", "c++2b"]),
    ]
    for compiler in compilers
    for standard in standards
]


def compiles(compiler, language, standard, source, *options):
    return run(
        tool(compiler), f"-std={standard}", f"-x{language}", *STRICT, *options,
        f"-I{ROOT / 'include'}", "-", input=source,
    )  # fmt: skip


@pytest.mark.parametrize("compiler, language, standard", COMPILERS)
def test_alone_and_twice(compiler, language, standard):
    done = compiles(compiler, language, standard, TWICE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("compiler, language, standard", COMPILERS)
def test_every_function_can_be_named(compiler, language, standard):
    """One header that lost its extern "C", or a macro that hides a function, would end here."""
    names = [function.name for function in elements.functions()]
    uses = "".join(f"    {{\"{name}\", (any_function)&{name}}},\n" for name in names)
    source = (
        TWICE
        + "typedef void (*any_function)(void);\n"
        + "struct entry { const char *name; any_function function; };\n"
        + "extern const struct entry entries[];\n"
        + f"const struct entry entries[] = {{\n{uses}}};\n"
    )
    # Casts between function types are what this table is made of.
    done = compiles(compiler, language, standard, source, "-Wno-cast-function-type")
    assert done.returncode == 0, done.stderr


def test_a_mistake_is_noticed():
    """The check bites: a repeated typedef is legal C11, and none in C99."""
    source = TWICE + "typedef struct hysock_runtime hysock_runtime;\n"
    done = compiles("gcc", "c", "c99", source)
    assert done.returncode != 0
    assert "redefinition of typedef" in done.stderr


def test_32_bit_is_refused():
    # UINTPTR_MAX is what a 32-bit target would define; no 32-bit libc is needed for this.
    source = "#include <stdint.h>\n#undef UINTPTR_MAX\n#define UINTPTR_MAX UINT32_MAX\n" + TWICE
    done = compiles("gcc", "c", "c99", source)
    assert done.returncode != 0
    assert "64-bit" in done.stderr
