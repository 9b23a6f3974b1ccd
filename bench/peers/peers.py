#!/usr/bin/env python3
"""eaq beside other systems: what both runs share, and the choice between them: cpu/cpu_run.py on a processor, gpu_run.py on a card."""
import hashlib
import json
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "cpu")]
from statistics_of_blocks import ratio, time_of  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


# What a processor computes with, the highest first: of what a virtual machine shows, which may be less than its processor has.
INSTRUCTIONS = {"amx": {"amx_int8", "amx_bf16"}, "avx512_vnni_bf16": {"avx512_vnni", "avx512_bf16"}, "avx512_vnni": {"avx512_vnni"}, "avx512": {"avx512f"}}


def processor(cpuinfo=Path("/proc/cpuinfo")):
    fields = {}
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    instructions = next((name for name, needed in INSTRUCTIONS.items() if needed <= flags), "avx2")
    return {"model_name": fields.get("model name", "unknown"), "family": fields.get("cpu family"), "model": fields.get("model"),
            "instructions": instructions, "cores": os.cpu_count()}


def file_name(machine):
    """Virtual machines often hide the product ("AMD EPYC") and some of its instructions: family, model and what is left then tell it."""
    name = machine["model_name"]
    if not re.search(r"\d", name):
        name += f" family {machine['family']} model {machine['model']} {machine['instructions']}"
    return "peers-cpu-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json"


def command():
    """As it can be run again by anyone: folders of this machine mean nothing elsewhere."""
    shown, hide = ["bench/peers/run"], False
    for word in sys.argv[1:]:
        option = re.match(r"(--models|--out|--eaq|--merge|--cache)(=|$)", word)
        shown.append("DIR" if hide else f"{option[1]}=DIR" if option and option[2] else word)
        hide = bool(option) and not option[2]
    return shown


def sha256_of(model_folder):
    """Of all its weight files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(model_folder.glob("*.safetensors")):
        if file.name.startswith("model"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def order_of_block(names, block):
    """ABBA, begun at another contestant each block: nobody is always the one after the pause."""
    turned = names[block % len(names):] + names[:block % len(names)]
    return turned + turned[::-1]


def make_row(work, format, records, ready, blocks):
    row = {"work": work.name, "format": format, "eaq": None, "peers": [], "time_ratio": None, "energy_ratio": None,
           "energy_unavailable": "times only: this comparison reads no energy meter", "best_peer": None, "blocks": blocks}
    for record in records:
        cell = {**record, "ms": None, "mJ_per_sample": None}
        if record["name"] in ready and blocks:
            time_ms = time_of(blocks, record["name"])
            cell.update(ms=time_ms["mean"], ms_ci95=time_ms["ci95"])
        if record["name"] == "eaq":
            cell["kernels"] = getattr(ready.get("eaq"), "kernels", None)
            row["eaq"] = cell
        else:
            row["peers"].append(cell)
    timed = [cell for cell in row["peers"] if cell["ms"] is not None]
    if timed:
        row["best_peer"] = min(timed, key=lambda cell: cell["ms"])["name"]
        if row["eaq"] and row["eaq"]["ms"] is not None:
            row["time_ratio"] = ratio(blocks, row["best_peer"], "eaq")
    return row


def write(path, result):
    """Beside, then renamed: a result is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(path)


def on_a_card(words):
    """--device cuda: that run has arguments, works and contestants of its own."""
    return any(word == "--device=cuda" or (word == "--device" and following == "cuda") for word, following in zip(words, words[1:] + [""]))


if __name__ == "__main__":
    if on_a_card(sys.argv[1:]):
        import gpu_run as run
    else:
        import cpu_run as run
    sys.exit(run.main())
