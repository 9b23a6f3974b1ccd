#!/usr/bin/env python3
"""eaq beside other systems on this processor: the same work, the same tokens, one interleaved run.

usage: bench/peers/run [--models DIR] [--works NAMES] [--formats NAMES] [--blocks 8] [--min-seconds 1] [--out FILE]

  --models DIR    a folder with gpt2-small/ and distilbert-sst2/; without it, random weights of true shape are written to a temporary one
  --peers NAMES   by default "torch eager" and both caches of the decode; "torch compile" on request (minutes of compiling)

Every block visits all contestants in order, then in reverse. The result (schema eaq.peers/1, see docs) holds each
contestant's time with its interval, best peer / eaq per row, and every visit, from which all of it can be computed again.
"""
import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from contestants import PEERS, THREADS, Eaq, Unavailable  # noqa: E402
from statistics_of_blocks import ratio, time_of  # noqa: E402
from works import FOLDERS, ROOT, WORKS, WRONG_ABOVE, Reference, inputs_of, native_formats, write_random_models  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


def processor(cpuinfo=Path("/proc/cpuinfo")):
    fields = {}
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return {"model_name": fields.get("model name", "unknown"), "family": fields.get("cpu family"), "model": fields.get("model"), "cores": os.cpu_count()}


def file_name(machine):
    """Virtual machines often hide the product ("AMD EPYC"): family and model then tell the generation."""
    name = machine["model_name"]
    if not re.search(r"\d", name):
        name += f" family {machine['family']} model {machine['model']}"
    return "peers-cpu-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json"


def command():
    """As it can be run again by anyone: folders of this machine mean nothing elsewhere."""
    shown, hide = ["bench/peers/run"], False
    for word in sys.argv[1:]:
        option = re.match(r"(--models|--out|--eaq|--merge)(=|$)", word)
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


def contestants_of(work, format, folder, reference, args):
    """Those that run and answer right; and a record of all that were asked."""
    ready, records = {}, []
    makers = [kind for kind in PEERS[work.phase] if kind.name in args.peers]
    for kind in ([Eaq] if args.eaq else []) + makers:
        record = {"name": kind.name}
        records.append(record)
        try:
            one = kind(work, format, folder, args.eaq, args.threads) if kind is Eaq else kind(work, format, folder, args.threads)
            record.update(version=one.version, options=one.options)
            error = one.error(reference) if kind is Eaq else one.prepare(reference)
            record["relative_error"] = error
            if not error <= WRONG_ABOVE[format]:
                record["does_not_count"] = f"wrong answers: relative error {error:.3g}, allowed {WRONG_ABOVE[format]:g}"
            else:
                ready[kind.name] = one
        except Unavailable as reason:
            record["does_not_count"] = f"not available: {reason}"
        if "does_not_count" in record:
            say(f"  {kind.name}: {record['does_not_count']}")
    return ready, records


def run_blocks(ready, args):
    blocks = []
    for block in range(args.blocks):
        visits = {name: [] for name in ready}
        try:
            for name in order_of_block(list(ready), block):
                visits[name].append(ready[name].visit(args.min_seconds))
        except KeyboardInterrupt:
            return blocks, True
        blocks.append(visits)
        say(f"  block {block + 1}/{args.blocks}: " + ", ".join(f"{name} {sum(times) / len(times):.3f} ms" for name, times in visits.items()))
    return blocks, False


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


def table(result):
    lines = [f"{'work':22} {'format':6} {'eaq ms':>10} {'best peer ms':>14}  ratio (above 1: eaq is ahead)"]
    for row in result["rows"]:
        best = next((cell for cell in row["peers"] if cell["name"] == row["best_peer"]), None)
        eaq = f"{row['eaq']['ms']:.3f}" if row["eaq"] and row["eaq"]["ms"] else "-"
        peer = f"{best['ms']:.3f}" if best else "-"
        verdict = "-"
        if row["time_ratio"]:
            ci = row["time_ratio"]["ci95"]
            verdict = f"{row['time_ratio']['mean']:.3f}" + (f" [{ci[0]:.3f}, {ci[1]:.3f}]" if ci else "")
        lines.append(f"{row['work']:22} {row['format']:6} {eaq:>10} {peer:>14}  {verdict}  {row['best_peer'] or ''}")
    return "\n".join(lines)


def write(path, result):
    """Beside, then renamed: a result is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(path)


def arguments():
    names = lambda text: [name.strip() for name in text.split(",") if name.strip()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="`--device cuda --help` has the options of a run on a graphics card")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--works", type=names, default=[work.name for work in WORKS])
    parser.add_argument("--formats", type=names, default=["fp32", "bf16", "int8"])
    parser.add_argument("--peers", type=lambda text: [name.strip() for name in text.split(";")], default=["torch eager", "torch eager, DynamicCache", "torch eager, StaticCache"],
                        help='separated by ";"')
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--min-seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--eaq", type=Path, default=ROOT / "build" / "release" / "eaq", help="the program (default: build/release/eaq)")
    parser.add_argument("--without-eaq", action="store_true", help="time the peers alone")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    known = {work.name for work in WORKS}
    if set(args.works) - known:
        parser.error(f"unknown work {', '.join(sorted(set(args.works) - known))}; known: {', '.join(sorted(known))}")
    peers = {kind.name for kinds in PEERS.values() for kind in kinds}
    if set(args.peers) - peers:
        parser.error(f"unknown peer {', '.join(sorted(set(args.peers) - peers))}; known: {'; '.join(sorted(peers))}")
    if args.without_eaq:
        args.eaq = None
    elif not args.eaq.exists():
        parser.error(f"{args.eaq} does not exist: `make build` first, or --without-eaq")
    return args


def main():
    args = arguments()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message=".*deprecated.*")
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(args.threads)
    native = native_formats()
    machine = {**processor(), "threads": args.threads, "native_formats": sorted(native), "load_before": os.getloadavg()[0]}
    if machine["load_before"] > 0.5:
        say(f"warning: the machine is busy (load {machine['load_before']:.2f}): intervals will be wide")
    result = {"schema": "eaq.peers/1", "interrupted": False, "machine": machine, "command": command(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
              "weights": {"source": "given" if args.models else "random, true shapes", "sha256": {}}, "protocol": {"blocks": args.blocks, "visits_per_block": 2, "min_seconds": args.min_seconds},
              "rows": [], "skipped": []}
    out = args.out or ROOT / "docs" / "results" / file_name(machine)

    with tempfile.TemporaryDirectory(prefix="eaq-peers-models-") as temporary:
        models = args.models
        if not models:
            say("writing random weights of true shape (--models DIR takes real ones)")
            models = Path(temporary)
            write_random_models(models)
        for work in (work for work in WORKS if work.name in args.works):
            for format in work.formats:
                if format not in args.formats:
                    continue
                if format not in native:
                    result["skipped"].append({"work": work.name, "format": format, "reason": "this processor does not multiply it natively"})
                    continue
                say(f"{work.name} {format}")
                folder = models / FOLDERS[work.family]
                result["weights"]["sha256"].setdefault(folder.name, sha256_of(folder))
                reference = Reference(work, folder, inputs_of(work, folder))
                ready, records = contestants_of(work, format, folder, reference, args)
                blocks, interrupted = run_blocks(ready, args) if ready else ([], False)
                result["rows"].append(make_row(work, format, records, ready, blocks))
                result["interrupted"] |= interrupted
                machine["load_after"] = os.getloadavg()[0]
                write(out, result)
                if interrupted:
                    say(f"interrupted; written so far: {out}")
                    return 130
    print(table(result))
    say(f"written: {out}")
    return 0


def on_a_card(words):
    """--device cuda: that run has arguments, works and contestants of its own."""
    return any(word == "--device=cuda" or (word == "--device" and following == "cuda") for word, following in zip(words, words[1:] + [""]))


if __name__ == "__main__":
    if on_a_card(sys.argv[1:]):
        import gpu_run

        sys.exit(gpu_run.main())
    sys.exit(main())
