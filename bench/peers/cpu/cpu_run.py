"""eaq beside other systems on this processor: the same work, the same tokens, one interleaved run.

usage: bench/peers/run [--models DIR] [--works NAMES] [--formats NAMES] [--threads 1,2] [--peers NAMES] [--merge FILE] [--minutes M] [--out FILE]

  --models DIR    a folder with gpt2-small/ and distilbert-sst2/; without it, random weights of true shape are written to a temporary one
  --merge FILE    an earlier result of this machine: its rows are kept and not run again (--again runs the chosen ones anew)

Each peer runs in a process of its own. All are screened in one short visit; eaq, the fastest peers and what the processor gives (the floor,
by the benchmarks beside eaq) are then visited in blocks, every block in order and in reverse, until the ratio is known to --precision. The result (schema eaq.peers/1) is written after every row.
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peers
from answers import Reference, base, batches_of, verdict
from contestants import THREADS, Unavailable
from cpu_result import earlier_rows, make_row, merged, table
from crew import Process, end_all, kinds
from eaq_on_cpu import EaqOnCpu
from floor import Floor
from peer import NOT_MEANT, Task
from peers import say
from statistics_of_blocks import ratio, time_of
from works import FOLDERS, ROOT, WORKS, native_formats, not_run_here, write_random_models

LOAD_SECONDS = 900  # in which a peer must be converted, compiled and ready


def arguments():
    names = lambda text: [name.strip() for name in text.split(",") if name.strip()]
    parser = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="`--device cuda --help` has the options of a run on a graphics card")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--works", type=names, default=[work.name for work in WORKS])
    parser.add_argument("--formats", type=names, default=["fp32", "bf16", "fp16", "int8"], help="int8 is GPT-2's int8+head too")
    parser.add_argument("--threads", type=lambda text: [int(count) for count in names(text)], default=[THREADS], help="one or more counts, each with rows of its own")
    parser.add_argument("--peers", type=lambda text: [name.strip() for name in text.split(";")], help='separated by ";"; all of them where it is not given')
    parser.add_argument("--blocks", type=int, default=8, help="at least; 0 checks answers and visits everybody once")
    parser.add_argument("--max-blocks", type=int, default=16)
    parser.add_argument("--precision", type=float, default=0.02, help="blocks are added until the ratio's half-width is at most this")
    parser.add_argument("--min-seconds", type=float, default=1.0)
    parser.add_argument("--keep", type=int, default=3, help="how many of the fastest peers go on into the blocks")
    parser.add_argument("--screen", type=float, default=1.3, help="... unless they are slower than the fastest by this factor")
    parser.add_argument("--minutes", type=float, help="begin no row that would not end within them")
    parser.add_argument("--merge", type=Path)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--cache", type=Path, help="where converted models are kept; by default a temporary folder")
    parser.add_argument("--eaq", type=Path, default=ROOT / "build" / "release" / "eaq", help="the program (default: build/release/eaq)")
    parser.add_argument("--without-eaq", action="store_true", help="time the peers alone")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    known = {work.name for work in WORKS}
    if set(args.works) - known:
        parser.error(f"unknown work {', '.join(sorted(set(args.works) - known))}; known: {', '.join(sorted(known))}")
    known = {format for work in WORKS for name in work.formats for format in (name, base(name))}
    if set(args.formats) - known:
        parser.error(f"unknown format {', '.join(sorted(set(args.formats) - known))}; known: {', '.join(sorted(known))}")
    all_peers = {kind.name for _, kind in kinds()}
    if set(args.peers or []) - all_peers:
        parser.error(f"unknown peer {', '.join(sorted(set(args.peers) - all_peers))}; known: {'; '.join(sorted(all_peers))}")
    if args.without_eaq:
        args.eaq = None
    elif not args.eaq.exists():
        parser.error(f"{args.eaq} does not exist: `make build` first, or --without-eaq")
    return args


class Source:
    """A work's inputs and reference answers, made once and used by all its rows."""

    def __init__(self, work, folder, scratch):
        self.work, self.folder = work, folder
        self.batches = batches_of(work, folder)
        self.reference = Reference(work, folder, self.batches)
        self.file = self.save(self.batches, scratch / f"{work.name}.npz")
        self.padded_file = self.save(batches_of(work, folder, padded=128), scratch / f"{work.name}-padded.npz") if work.whole_set else None

    @staticmethod
    def save(batches, file):
        import numpy

        numpy.savez(file, **{f"{name}.{index}": array for index, batch in enumerate(batches) for name, array in batch.items()})
        return file


class Row:
    """One work in one format with one count of threads: who is ready, and their visits."""

    def __init__(self, source, format, threads, scratch, args):
        self.source, self.work, self.format, self.threads, self.scratch, self.args = source, source.work, format, threads, scratch, args
        self.ready, self.records, self.screened, self.blocks, self.interrupted = {}, [], {}, [], False
        self.floor = None
        self.began = time.monotonic()

    def fail(self, record, reason):
        record["does_not_count"] = reason
        say(f"  {record['name']}: {reason}")

    def judge(self, record, one, errors):
        record.update(errors)
        wrong = verdict(errors, self.format, self.work.family)
        if wrong:
            return self.fail(record, wrong)
        self.ready[record["name"]] = one
        if record.get("information"):
            record["does_not_count"] = record.pop("information")
        say(f"  {record['name']}: relative error {errors['relative_error']:.2g}, KL {errors['kl_per_answer']:.2g}; {record['options']}")

    def prepare_eaq(self):
        record = {"name": "eaq"}
        self.records.append(record)
        try:
            one = EaqOnCpu(self.work, self.format, self.source.folder, self.args.eaq, self.threads)
            record.update(version=one.version, options=one.options)
            self.judge(record, one, one.answers(self.source.reference, self.source.batches))
        except (Unavailable, RuntimeError) as reason:
            self.fail(record, f"not available: {reason}")

    def prepare_floor(self):
        try:
            self.floor = Floor(self.work, self.format, self.threads, self.args.eaq.parent)
        except Unavailable as reason:
            say(f"  floor: {reason}")

    def task(self):
        return Task(self.work, base(self.format), self.threads, self.source.folder.resolve(), [], (self.args.cache / self.source.folder.name).resolve())

    def load(self, module, kind, file):
        """(record, process, its answers)"""
        record = {"name": kind.name}
        process = None
        try:
            refused = kind.refuses(self.work, base(self.format))
            if refused:
                raise Unavailable(refused)
            process = Process(module, kind, self.scratch / f"{module}.log", self.threads)
            answers = self.scratch / f"{module}-{kind.name.replace(' ', '-')}-{self.threads}-{file.stem}-answers.npz"
            record.update({key: value for key, value in process.load(self.task(), file, answers, LOAD_SECONDS).items() if value is not None})
            if kind.information:
                record["information"] = kind.information
            return record, process, answers
        except Unavailable as reason:
            if process:
                process.kill()
            record["unavailable"] = f"not available: {reason}"
            return record, None, None

    def prepare_peers(self):
        asked = [(module, kind) for module, kind in kinds() if (not self.args.peers or kind.name in self.args.peers) and kind.refuses(self.work, base(self.format)) != NOT_MEANT]
        with ThreadPoolExecutor(2) as pool:  # nothing is timed yet
            for record, process, file in pool.map(lambda pair: self.load(*pair, self.source.file), asked):
                self.records.append(record)
                if process:
                    self.judge(record, process, self.errors_of(file, record))
                    if record["name"] not in self.ready:
                        process.kill()
                else:
                    self.fail(record, record.pop("unavailable"))

    def errors_of(self, file, record):
        import numpy

        with numpy.load(file) as arrays:
            if "tokens" in arrays.files:
                answers = {"tokens": arrays["tokens"], "logits": arrays["logits"]}
            else:
                answers = {"logits": [arrays[f"logits.{index}"] for index in range(len(self.source.batches))]}
        file.unlink()
        return self.source.reference.errors(answers, unmasked="taken for real" in record["options"])

    def visit(self, name, seconds):
        """A contestant that fails in a visit is out of the row, with the reason."""
        try:
            return (self.floor if name == Floor.name else self.ready[name]).visit(seconds)
        except (Unavailable, RuntimeError) as reason:
            if name == Floor.name:
                self.floor = None
                say(f"  floor: {reason}")
                return None
            self.drop(name)
            self.fail(next(record for record in self.records if record["name"] == name), f"failed in a visit: {reason}")
            return None

    def drop(self, name):
        one = self.ready.pop(name)
        if isinstance(one, Process):
            one.kill()

    def screen(self):
        """One short visit each; the slow ones are left with it."""
        for name in list(self.ready):
            ms = self.visit(name, min(self.args.min_seconds, 0.5))
            if ms is not None:
                self.screened[name] = ms
        say("  screened: " + ", ".join(f"{name} {ms:.4g} ms" for name, ms in self.screened.items()))
        counting = {record["name"] for record in self.records if "does_not_count" not in record}
        kept = who_goes_on({name: ms for name, ms in self.screened.items() if name in counting}, self.args.keep, self.args.screen)
        if self.work.whole_set and kept:
            self.screen_padded(kept[0])
        for name in [name for name in self.ready if name != "eaq" and name not in kept]:
            self.drop(name)

    def screen_padded(self, name):
        """The fastest once more with all sentences padded to 128."""
        module, kind = next(pair for pair in kinds() if pair[1].name == name)
        record, process, file = self.load(module, kind, self.source.padded_file)
        record["name"] = f"{name}, padded to 128"
        self.records.append(record)
        if not process:
            return self.fail(record, record.pop("unavailable"))
        record.update(self.errors_of(file, record))
        record["does_not_count"] = "padded to 128: for information"
        self.ready[record["name"]] = process
        ms = self.visit(record["name"], 0.0)
        if ms is not None:
            self.screened[record["name"]] = ms
            say(f"  {record['name']}: {ms:.4g} ms")

    def run_blocks(self):
        while len(self.blocks) < self.args.blocks or (len(self.blocks) < self.args.max_blocks and not self.precise()):
            visits = {name: [] for name in self.visited()}
            for name in peers.order_of_block(list(visits), len(self.blocks)):
                if name in self.visited():
                    visits[name].append(self.visit(name, self.args.min_seconds))
            self.blocks.append(visits)
            gone = set(self.blocks[0]) - set(self.visited())
            self.blocks = [{name: times for name, times in block.items() if name not in gone} for block in self.blocks]
            say(f"  block {len(self.blocks)}: " + ", ".join(f"{name} {sum(times) / len(times):.4g} ms" for name, times in self.blocks[-1].items()))

    def visited(self):
        return [*self.ready, *([Floor.name] if self.floor else [])]

    def precise(self):
        """Whether the ratio's interval is narrow enough."""
        others = [name for name in self.ready if name != "eaq"]
        if not self.blocks or "eaq" not in self.ready or not others:
            return True
        best = min(others, key=lambda name: time_of(self.blocks, name)["mean"])
        found = ratio(self.blocks, best, "eaq")
        return found["ci95"] is not None and (found["ci95"][1] - found["ci95"][0]) / 2 <= self.args.precision * found["mean"]

    def run(self):
        try:
            if self.args.eaq:
                self.prepare_eaq()
                self.prepare_floor()
            self.prepare_peers()
            self.screen()
            self.run_blocks()
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            row = make_row(self.work, self.format, self.threads, self.records, self.screened, self.blocks, getattr(self.ready.get("eaq"), "kernels", None))
            row["seconds"] = round(time.monotonic() - self.began)
            for name in list(self.ready):
                self.drop(name)
        return row


def who_goes_on(screened, keep, factor):
    """The fastest peers, by name: at most `keep`, none slower than the fastest by the factor."""
    order = sorted((name for name in screened if name != "eaq"), key=screened.get)
    return [name for name in order[:keep] if screened[name] <= factor * screened[order[0]]]


def new_result(machine, args):
    return {"schema": "eaq.peers/1", "interrupted": False, "machine": machine, "command": peers.command(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "weights": {"source": "given" if args.models else "random, true shapes", "sha256": {}},
            "protocol": {"blocks": args.blocks, "max_blocks": args.max_blocks, "precision": args.precision, "visits_per_block": 2, "min_seconds": args.min_seconds,
                         "keep": args.keep, "screen": args.screen},
            "rows": [], "skipped": []}


def chosen(args, native):
    """(rows to run, those that this processor has none of)"""
    rows, skipped = [], []
    for threads in args.threads:
        for work in WORKS:
            for format in work.formats if work.name in args.works else ():
                if not {format, base(format)} & set(args.formats):
                    continue
                reason = not_run_here(work, format, native)
                if reason:
                    skipped.append({"work": work.name, "format": format, "threads": threads, "reason": reason})
                else:
                    rows.append((threads, work, format))
    return rows, skipped


def run_rows(rows, models, scratch, result, kept, out, args):
    sources, longest, began = {}, 0, time.monotonic()
    for threads, work, format in rows:
        if not args.again and any((row["work"], row["format"], row["threads"]) == (work.name, format, threads) and (row["blocks"] or not args.blocks) for row in kept):
            continue
        if args.minutes and time.monotonic() - began + longest > 60 * args.minutes:
            say("--minutes leaves no time for another row")
            break
        say(f"{work.name} {format}, {threads} thread{'s' * (threads > 1)}")
        folder = models / FOLDERS[work.family]
        result["weights"]["sha256"].setdefault(folder.name, peers.sha256_of(folder))
        if work.name not in sources:
            sources = {work.name: Source(work, folder, scratch)}
        row = Row(sources[work.name], format, threads, scratch, args)
        made = row.run()
        longest = max(longest, made["seconds"])
        result["interrupted"] = row.interrupted
        if not row.interrupted or made["blocks"]:
            result["rows"].append(made)
        result["machine"]["load_after"] = os.getloadavg()[0]
        peers.write(out, merged(result, kept))
        if row.interrupted:
            say(f"interrupted; written so far: {out}")
            return 130
    return 0


def main():
    args = arguments()
    warnings.filterwarnings("ignore")
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(os.cpu_count())
    native = native_formats()
    machine = {**peers.processor(), "threads": args.threads, "native_formats": sorted(native), "load_before": os.getloadavg()[0]}
    if machine["load_before"] > 0.5:
        say(f"warning: the machine is busy (load {machine['load_before']:.2f}): intervals will be wide")
    result = new_result(machine, args)
    out = args.out or ROOT / "docs" / "results" / peers.file_name(machine)
    kept = earlier_rows(json.loads(args.merge.read_text()), machine) if args.merge else []
    with tempfile.TemporaryDirectory(prefix="eaq-peers-") as temporary:
        scratch, models = Path(temporary), args.models
        args.cache = args.cache or scratch / "converted"
        if not models:
            say("writing random weights of true shape (--models DIR takes real ones)")
            models = scratch / "models"
            write_random_models(models)
        rows, result["skipped"] = chosen(args, native)
        for one in result["skipped"]:
            say(f"{one['work']} {one['format']}, {one['threads']} thread{'s' * (one['threads'] > 1)}: not run: {one['reason']}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside: as by Ctrl-C
        try:
            code = run_rows(rows, models, scratch, result, kept, out, args)
        finally:
            end_all()
    if code == 0 and not result["rows"]:
        say("no row was run, nothing is written")
    elif code == 0:
        peers.write(out, merged(result, kept))
        print(table(merged(result, kept)))
        say(f"written: {out}")
    return code


if __name__ == "__main__":
    sys.exit(main())
