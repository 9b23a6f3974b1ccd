#!/usr/bin/env python3
"""Writes eaq/text/unicode_table.cpp: what Hugging Face `tokenizers` takes each code point for.

The library's parts carry tables of different Unicode versions (9 in unicode_categories and unicode-normalization, 16 in Oniguruma,
17 in Rust's standard library), and the ICU of a Debian release has yet another. So the classes are read out of the library itself,
code point by code point. Needs `tokenizers` (0.23). Usage: scripts/make_tokenizer_unicode_table.py [--check]
"""

import sys
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

TARGET = Path(__file__).resolve().parent.parent / "eaq" / "text" / "unicode_table.cpp"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def bert(**on):
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**options, **on}).normalize_str


def removed_by(splitter):
    return lambda c: not splitter.pre_tokenize_str(c)


def joins_a_word(c):
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str("a" + c)
    return len(pieces) == 1 and len(pieces[0][0]) == 2


def classes():
    """Bit by bit, in the order of eaq/text/unicode.h."""
    clean, accents = bert(clean_text=True), bert(strip_accents=True)
    digits, marks, nfd = pre_tokenizers.Digits(individual_digits=True), normalizers.StripAccents(), normalizers.NFD().normalize_str
    return [
        removed_by(pre_tokenizers.Split(Regex(r"\p{L}"), "removed")),
        removed_by(pre_tokenizers.Split(Regex(r"\p{N}"), "removed")),
        removed_by(pre_tokenizers.WhitespaceSplit()),
        joins_a_word,
        lambda c: len(digits.pre_tokenize_str("a" + c + "b")) == 3,
        removed_by(pre_tokenizers.Punctuation("removed")),
        lambda c: clean(c) == "",
        lambda c: accents(c) == "",
        lambda c: marks.normalize_str(c) == "",
        lambda c: nfd(c) != c or marks.normalize_str(c) == "",
    ]


def runs():
    tests, rows, last = classes(), [], None
    for code in CODE_POINTS:
        c = chr(code)
        bits = sum(1 << i for i, test in enumerate(tests) if test(c))
        if bits != last:
            rows.append((code, bits))
            last = bits
    return rows


def lower_runs():
    """(first, last, step, difference) of the simple mappings; U+0130 is the only code point that becomes two."""
    lower, rows = normalizers.Lowercase().normalize_str, []
    for code in CODE_POINTS:
        to = lower(chr(code))
        if to == chr(code) or code < 0x80:
            continue
        if len(to) != 1:
            assert code == 0x130 and to == "i\u0307", hex(code)
            continue
        difference = ord(to) - code
        if rows and rows[-1][3] == difference:
            first, last, step, _ = rows[-1]
            if code - last == (step or code - last) and code - last <= 2:
                rows[-1] = (first, code, code - last, difference)
                continue
        rows.append((code, code, 0, difference))
    return rows


def wrapped(items):
    lines, line = [], "   "
    for item in items:
        if len(line) + 1 + len(item) > 129:
            lines.append(line)
            line = "   "
        line += " " + item
    return "\n".join(lines + [line])


def main():
    text = f"""// Written by scripts/make_tokenizer_unicode_table.py from tokenizers {tokenizers.__version__}; do not edit.
#include "eaq/text/unicode.h"

namespace eaq::text {{
// clang-format off

// The first code point of a run, shifted left by 10, and the classes of all its code points.
const std::uint32_t class_runs[] = {{
{wrapped(f"0x{code << 10 | bits:x}," for code, bits in runs())}
}};
const std::size_t class_run_count = std::size(class_runs);

const LowerRun lower_runs[] = {{
{wrapped(f"{{0x{a:x}, 0x{b:x}, {max(step, 1)}, {d}}}," for a, b, step, d in lower_runs())}
}};
const std::size_t lower_run_count = std::size(lower_runs);

// clang-format on
}}  // namespace eaq::text
"""
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == text else f"{TARGET} differs from tokenizers {tokenizers.__version__}")
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
