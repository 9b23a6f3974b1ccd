#!/usr/bin/env python3
"""Writes eaq/container/testdata with the real safetensors library (and huggingface_hub for the shards).

    pip install torch safetensors huggingface_hub packaging && scripts/make_container_references.py

Files that stand there already must come out the same, byte for byte; the tests know their content by heart.
"""

import argparse
import pathlib
import tempfile

import huggingface_hub
import safetensors.torch
import torch

KNOWN = {  # the element i of each is what `value` below says
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f8_e4m3": torch.float8_e4m3fn,
    "f8_e5m2": torch.float8_e5m2,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u64": torch.uint64,
    "u32": torch.uint32,
    "u16": torch.uint16,
    "u8": torch.uint8,
    "bool": torch.bool,
}
UNKNOWN = {  # stored by the library, not computed with by eaq
    "f8_e8m0": torch.float8_e8m0fnu,
    "f4": torch.float4_e2m1fn_x2,
    "c64": torch.complex64,
}


def value(name, i):
    if name.startswith(("f", "bf")):
        return (i - 2) * 0.5
    if name == "bool":
        return i % 2 == 1
    return i - 3 if name.startswith("i") else i


def all_types(folder):
    tensors = {n: torch.tensor([value(n, i) for i in range(6)]).to(t).reshape(2, 3) for n, t in KNOWN.items()}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 7)
    tensors[""] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    tensors['Größe "\\\n\x01/é'] = torch.tensor([7], dtype=torch.int16)
    safetensors.torch.save_file(tensors, folder / "all_types.safetensors", metadata={"format": "pt"})


def unknown_types(folder):
    tensors = {n: torch.arange(1, 5, dtype=torch.uint8).view(t) for n, t in UNKNOWN.items() if n != "c64"}
    tensors["c64"] = torch.tensor([1 + 2j])
    tensors["f32"] = torch.tensor([1.5])
    safetensors.torch.save_file(tensors, folder / "unknown_types.safetensors")


def nothing(folder):
    safetensors.torch.save_file({}, folder / "nothing.safetensors")


def sharded(folder):
    state = {f"layer.{i}.weight": torch.arange(16, dtype=torch.float32).reshape(4, 4) + 100 * i for i in range(3)}
    (folder / "sharded").mkdir(exist_ok=True)
    huggingface_hub.save_torch_state_dict(state, folder / "sharded", max_shard_size=128, metadata={"note": "three layers"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--out", type=pathlib.Path, default=root / "eaq/container/testdata")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for write in (all_types, unknown_types, nothing, sharded):
            write(folder)
        for made in sorted(folder.rglob("*")):
            if made.is_file():
                kept = out / made.relative_to(folder)
                if kept.exists() and kept.read_bytes() != made.read_bytes():
                    print(f"{kept.relative_to(out)}: changed")
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(made.read_bytes())


if __name__ == "__main__":
    main()
