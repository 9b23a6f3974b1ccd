#!/usr/bin/env python3
"""A peer in a process of its own, so that no framework's thread pool, allocator or environment meets another's.

Reads requests as JSON lines from standard input, answers on what was standard output: {"do": "load" | "visit" | "answers" | "quit", ..}."""
import importlib
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contestants import Unavailable  # noqa: E402
from peer import Task  # noqa: E402
from works import Work  # noqa: E402


def batches_in(file):
    if file is None:
        return []
    import numpy

    with numpy.load(file) as arrays:
        count = sum(name.startswith("input_ids") for name in arrays.files)
        return [{name: arrays[f"{name}.{index}"] for name in ("input_ids", "attention_mask")} for index in range(count)]


def load(request):
    task = Task(Work(**request["work"]), request["format"], request["threads"], Path(request["model"]), batches_in(request["batches"]), Path(request["cache"]))
    module = importlib.import_module(request["module"])
    peer = next(kind for kind in module.PEERS if kind.name == request["peer"])(task)
    return peer, {"version": peer.version, "options": peer.options, "kernels": peer.kernels}


def keep_answers(peer, file):
    import numpy

    answers = peer.answers()
    logits = answers.pop("logits")
    arrays = {f"logits.{index}": array for index, array in enumerate(logits)} if isinstance(logits, list) else {"logits": logits}
    numpy.savez(file, **answers, **{name: numpy.asarray(array, dtype=numpy.float32) for name, array in arrays.items()})
    return {"options": peer.options, "kernels": peer.kernels}


def answer(peer, request):
    """(peer, what to say)"""
    if request["do"] == "load":
        return load(request)
    if request["do"] == "answers":
        return peer, keep_answers(peer, request["file"])
    return peer, {"ms": peer.visit(request["seconds"])}


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints goes to the log
    warnings.filterwarnings("ignore")
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            break
        try:
            peer, said = answer(peer, request)
        except Unavailable as reason:
            said = {"unavailable": str(reason)}
        except Exception as error:  # noqa: BLE001: a framework may fail in any way; the row says how
            traceback.print_exc()
            said = {"unavailable": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        print(json.dumps(said), file=out, flush=True)
    out.flush()
    os._exit(0)  # some pools hang in their destructors


if __name__ == "__main__":
    main()
