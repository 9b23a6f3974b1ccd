#!/usr/bin/env python3
"""Fails where two files define a type of one full name: the linker joins what it finds under one name, whichever it finds first.

usage: scripts/check_types.py [ROOT]         ROOT: the tree to read, by default the one this script stands in

Looked at: struct, class, union and enum at namespace scope in eaq/. Anonymous namespaces and what lies inside types and functions
are a file's own. Specialisations of templates are not read; one file may define a name twice, for two sides of an #if.
"""

import pathlib
import re
import sys

SOURCES = (".h", ".hpp", ".cpp", ".cu", ".cuh")
# Raw strings before strings before comments, in one pass: each may hold what opens another.
PROSE = re.compile(
    r'R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
NAMESPACE = re.compile(r"(?:^|\s)(?:inline\s+)?namespace(?:\s+(?P<name>\w+(?:::\w+)*))?\s*$")
TYPE = re.compile(
    r"(?:^|[\s>])(?:enum\s+(?:class\s+|struct\s+)?|struct\s+|class\s+|union\s+)"
    r"(?:alignas\s*\([^)]*\)\s*|\[\[[^\]]*\]\]\s*)*(?P<name>\w+(?:::\w+)*)\s*(?:final\s*)?(?::(?!:)[^;=]*)?$")


def blank(match):
    """As many lines, and nothing on them."""
    return "\n" * match.group().count("\n") or " "


def definitions(text):
    """Full names of the types that `text` defines at namespace scope, each with its line."""
    text = DIRECTIVE.sub(blank, PROSE.sub(blank, text))
    stack, start = [], 0  # the namespaces that are open; None: anything else, or an anonymous one
    for brace in re.finditer(r"[{};]", text):
        before, start = text[start:brace.start()].strip(), brace.end()
        if brace.group() == "}":
            if stack:
                stack.pop()
        elif brace.group() == "{":
            namespace = NAMESPACE.search(before)
            if found := not namespace and None not in stack and TYPE.search(before):
                yield "::".join((*stack, found.group("name"))), text.count("\n", 0, brace.start()) + 1
            stack.append(namespace.group("name") if namespace else None)


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent).resolve()
    places = {}  # full name -> {file: line}
    for file in sorted(f for f in (root / "eaq").rglob("*") if f.suffix in SOURCES and f.is_file()):
        for name, line in definitions(file.read_text(errors="replace")):
            places.setdefault(name, {}).setdefault(file.relative_to(root), line)
    twice = {name: where for name, where in places.items() if len(where) > 1}
    for name, where in twice.items():
        print(f"{name} is defined in " + " and ".join(f"{file}:{line}" for file, line in where.items()), file=sys.stderr)
        print("    instead: another name, a namespace of its own, or an anonymous one in a .cpp file", file=sys.stderr)
    if twice:
        return 1
    print(f"check_types: {len(places)} types, each defined in one file")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
