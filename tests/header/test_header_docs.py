"""The header is the reference manual: every function says the same things in the same place."""

import re

import elements
import pytest

FUNCTIONS = elements.functions()
TAGS = ["Thread", "Owns", "Errors", "Since"]


def fixed_lines(doc):
    """The fixed lines that end a comment: [(tag, text)], wrapped lines joined."""
    found = []
    for line in doc:
        if match := re.match(rf"({'|'.join(TAGS)}): *(.*)", line):
            found.append([match[1], match[2]])
        elif found:
            assert line.strip(), "an empty line after the first of the fixed lines"
            found[-1][1] += " " + line.strip()
    return found


def gives_away(function):
    """Does something change hands: a new handle, an exchange kept, userdata with its drop?"""
    return (
        function.name.endswith(("_new", "_defer"))
        or re.search(r"hysock_\w+ \*\*", function.arguments)
        or "hysock_drop_fn" in function.arguments
    )


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_function_ends_with_the_fixed_lines(function):
    lines = fixed_lines(function.doc)
    tags = [tag for tag, _ in lines]
    wanted = [tag for tag in TAGS if tag != "Owns" or gives_away(function) or "Owns" in tags]
    assert tags == wanted
    for tag, text in lines:
        assert text, f"{tag}: says nothing"
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?\.?", dict(lines)["Since"])


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_function_says_what_it_does(function):
    first = function.doc[0].strip()
    assert first and not first.startswith(tuple(f"{tag}:" for tag in TAGS))


def test_types_and_constants_are_documented():
    undocumented = []
    for block in elements.HEADER.read_text().split("\n\n"):
        doc, declaration = elements.split(block.strip())
        if re.match(r"typedef |#define HYSOCK_(?!H$)", declaration) and not any(doc):
            undocumented.append(declaration.splitlines()[0])
    assert undocumented == []


def test_comments_name_only_what_exists():
    known = elements.macros() | elements.types() | {function.name for function in FUNCTIONS}
    unknown = set()
    for text in elements.comments(elements.HEADER.read_text()):
        for name, more in re.findall(r"\b((?:hysock|HYSOCK)_\w+)(\*|<|\{)?", text):
            if more or name.endswith("_"):  # hysock_server_* and the like: a family
                if not any(one.startswith(name) for one in known):
                    unknown.add(name + more)
            elif name not in known:
                unknown.add(name)
    assert unknown == set()


def test_comments_speak_c():
    text = "\n".join(elements.comments(elements.HEADER.read_text()))
    for rust in ["[`", "]`", "::", "&mut", "Option<", "Result<", "`None`", "`Some", "u32"]:
        assert rust not in text, f"{rust} in a comment of the header"


def test_every_status_is_in_use():
    """A status that no function's Errors line names cannot be looked up from a function."""
    named = " ".join(
        text for function in FUNCTIONS for tag, text in fixed_lines(function.doc) if tag == "Errors"
    )
    statuses = {name for name in elements.macros() if name.startswith("HYSOCK_E_")}
    assert len(statuses) >= 23
    missing = {name for name in statuses if not re.search(rf"\b(HYSOCK_E_)?{name[9:]}\b", named)}
    # Any function may return PANIC.
    assert missing == {"HYSOCK_E_PANIC"}
