#!/usr/bin/env python3
"""Compares eaq's tokenizers with Hugging Face `tokenizers`: every id of every line, decoding, and speed side by side.

    bench/tokenizers/parity.py [--program build/release/tokenizer_parity] [--models DIR] [--data DIR] [--repeats 5] [-o RESULT.json]

For each model: its tokenizer.json, and its vocabulary files alone (against Transformers), over every line of WikiText-2 test, the
whole file as one text, every sentence of SST-2 train and dev, and the Unicode torture file. Speed: one thread, `encode_batch` with
parallelism off, the lines of WikiText-2 test, best of the repeats, the two programs in turn.
Needs `tokenizers` and `transformers`. Exit code 1 on any mismatch.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import numpy as np
import tokenizers
import transformers

ROOT = Path(__file__).resolve().parent.parent.parent


def texts_of(data, torture):
    wiki = (data / "wikitext2" / "wiki.test.raw").read_text("utf-8")
    sst2 = {}
    for part in ("train", "dev"):
        rows = (data / "sst2" / f"{part}.tsv").read_text("utf-8").split("\n")
        head = rows[0].split("\t")
        column = head.index("sentence") if "sentence" in head else head.index("text_a")
        sst2[f"sst2 {part}"] = [row.split("\t")[column] for row in rows[1:] if row]
    sets = {"wikitext2 test, lines": wiki.split("\n"), "wikitext2 test, whole": [wiki], **sst2}
    if torture.exists():
        # The file holds ill-formed bytes on purpose; the reference sees what Python makes of them.
        sets["torture"] = [line.decode("utf-8", "replace") for line in torture.read_bytes().split(b"\n")]
    return sets


def ours(program, folder, texts, *options):
    """The rows of ids, and the program's own notes."""
    payload = b"".join(text.encode("utf-8") + b"\0" for text in texts)
    done = subprocess.run([program, folder, *options], input=payload, capture_output=True, check=True)
    flat, rows, at = np.frombuffer(done.stdout, np.int32), [], 0
    while at < len(flat):
        rows.append(flat[at + 1 : at + 1 + flat[at]].tolist())
        at += 1 + flat[at]
    notes = {}
    for line in done.stderr.decode().splitlines():
        notes.update(json.loads(line))
    return rows, notes


def our_texts(program, folder, rows, *options):
    payload = b"".join(np.array([len(row), *row], np.int32).tobytes() for row in rows)
    done = subprocess.run([program, folder, "--decode", *options], input=payload, capture_output=True, check=True)
    return done.stdout.decode("utf-8").split("\0")[:-1]


def compare(name, set_name, got, wanted, texts):
    wrong = [i for i, (a, b) in enumerate(zip(got, wanted)) if a != b]
    if len(got) != len(wanted):
        wrong.append(min(len(got), len(wanted)))
    print(f"{name:34} {set_name:24} {len(wanted):7} texts  {len(wrong):5} mismatches", flush=True)
    for i in wrong[:3]:
        at = next((j for j, (a, b) in enumerate(zip(got[i], wanted[i])) if a != b), -1)
        print(f"    text {i}, place {at}: {got[i][at:at + 8]!r} for {wanted[i][at:at + 8]!r} in {texts[i][:80]!r}")
    return {"texts": len(wanted), "mismatches": len(wrong)}


def vocabulary_files_only(folder, into):
    names = [n for n in ("vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json") if (folder / n).exists()]
    if not {"vocab.txt", "vocab.json"} & set(names):
        return False
    for name in names:
        shutil.copyfile(folder / name, into / name)
    return True


def check(program, name, folder, sets, encode, reference, result):
    rows = {}
    for set_name, texts in sets.items():
        usable = [t for t in texts if "\0" not in t]
        wanted = [encode(t) for t in usable]
        got, _ = ours(program, folder, usable)
        result[f"{name}: {set_name}"] = compare(name, set_name, got, wanted, usable)
        rows[set_name] = wanted
    if reference is None:
        return
    for set_name in ("sst2 dev", "torture", "wikitext2 test, lines"):
        for skip in (False, True):
            listed = rows.get(set_name, [])
            wanted = [reference.decode(row, skip_special_tokens=skip) for row in listed]
            kept = [i for i, t in enumerate(wanted) if "\0" not in t]
            got = our_texts(program, folder, [listed[i] for i in kept], *(["--skip"] if skip else []))
            label = f"decode {set_name}{' -special' if skip else ''}"[:32]
            result[f"{name}: {label}"] = compare(name, label, got, [wanted[i] for i in kept], [str(listed[i]) for i in kept])


def race(program, name, folder, lines, repeats, reference):
    """Best times in seconds, the two in turn; the library's word cache is warm after its first round, as is ours."""
    best_ours = best_theirs = first_theirs = float("inf")
    notes = {}
    for i in range(repeats):
        start = time.perf_counter()
        reference.encode_batch(lines)
        taken = time.perf_counter() - start
        first_theirs = taken if i == 0 else first_theirs
        best_theirs = min(best_theirs, taken)
        _, notes = ours(program, folder, lines, "--repeats", "3")
        best_ours = min(best_ours, notes["best_s"])
    ratio = best_theirs / best_ours
    print(f"{name:34} wikitext2 test lines: eaq {best_ours * 1e3:.1f} ms, tokenizers {best_theirs * 1e3:.1f} ms: {ratio:.1f}x"
          f"  (first round: {notes['first_s'] * 1e3:.1f} and {first_theirs * 1e3:.1f} ms; load {notes['load_s'] * 1e3:.0f} ms)", flush=True)
    return {"eaq_s": best_ours, "tokenizers_s": best_theirs, "ratio": ratio, "load_s": notes["load_s"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build" / "release" / "tokenizer_parity")
    parser.add_argument("--models", type=Path, nargs="*", default=[ROOT.parent / "shared" / "models", ROOT / "models"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--torture", type=Path, default=ROOT / "eaq" / "text" / "testdata" / "torture.txt")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    sets = texts_of(options.data, options.torture)
    result = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__, "sets": {}, "speed": {}}
    folders = sorted(f for root in options.models for f in root.glob("*") if (f / "tokenizer.json").exists())
    for folder in folders:
        name = f"{folder.parent.parent.name}/{folder.name}"
        reference = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        reference.no_truncation()
        reference.no_padding()
        check(options.program, name, folder, sets, lambda t: reference.encode(t).ids, reference, result["sets"])
        result["speed"][name] = race(options.program, name, folder, sets["wikitext2 test, lines"], options.repeats, reference)
        with tempfile.TemporaryDirectory() as copy:
            if vocabulary_files_only(folder, Path(copy)):
                files = transformers.AutoTokenizer.from_pretrained(copy)
                check(options.program, name + " (files)", copy, sets, lambda t: files(t)["input_ids"], None, result["sets"])
    mismatches = sum(row["mismatches"] for row in result["sets"].values())
    print(f"{mismatches} mismatches in {sum(row['texts'] for row in result['sets'].values())} texts")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
