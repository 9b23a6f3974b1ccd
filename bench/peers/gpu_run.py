"""eaq beside PyTorch on an NVIDIA card: the same work, the same tokens, time and joules, one interleaved run.

usage: bench/peers/run --device cuda [--models DIR|synthetic] [--works NAMES] [--formats NAMES] [--peers KEYS] [--blocks 2] [--minutes M]

Every block visits all contestants in order, then in reverse. A peer that is far behind in one short visit is named with that time and not
visited again (--screen). The result (schema eaq.peers/1) is written after every row; --merge adds rows to an earlier one of the same card.
"""
import argparse
import gc
import math
import os
import shlex
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

import peers
from contestants import Unavailable
from gpu import Constant, NoCounter, Nvml, Recorder, visit
from gpu_contestants import COMPILE_MODE, EaqOnGpu, TorchCompiled, TorchEager, TorchGraph
from gpu_decode import TorchDecode, TorchDecodeCompiled, TorchDecodeGraph, TorchDecodeOwn, TorchDecodeOwnFused
from gpu_result import earlier_rows, file_name, make_row, merged, table
from gpu_works import FORMATS, SST2_BATCH, WORKS, WRONG_ABOVE, Answers, Source, batches_of, parts_of_a_pass, products_in, tiny
from works import ROOT, write_random_models

PEERS = {"forward": [TorchEager, TorchGraph, TorchCompiled],
         "decode": [TorchDecode, TorchDecodeGraph, TorchDecodeCompiled, TorchDecodeOwn, TorchDecodeOwnFused]}
KEYS = ["eager", "graph", "compile", "own", "own-sdpa"]


# --- how long a row takes

class Budget:
    """Which rows still fit. Guesses come from the arguments and are scaled by what the rows so far really took."""

    def __init__(self, minutes, clock=time.monotonic):
        self.clock, self.begun = clock, clock()
        self.seconds = 60 * minutes if minutes else None
        self.guessed = self.took = 0.0

    def left(self):
        return None if self.seconds is None else self.seconds - (self.clock() - self.begun)

    def scaled(self, guess):
        return guess * min(max(self.took / self.guessed, 0.5), 2) if self.guessed else guess

    def fits(self, guess):
        return self.seconds is None or self.scaled(guess) <= self.left()

    def note(self, guess, took):
        self.guessed += guess
        self.took += took


def guess_seconds(work, args):
    """Of one row: loading, compiling, and visits of eaq and of two peers that pass the screen."""
    makers = [kind for kind in PEERS[work.phase] if kind.key in args.peers]
    compiling = (45 if args.compile_mode.startswith("max-autotune") else 25) * (1 if work.seq else 3)  # lengths of batches
    peer_visits = len(makers) + 2 * args.blocks * min(2, len(makers))
    seconds = 4 + sum(compiling if kind.compiled else 4 for kind in makers) + peer_visits * (args.min_seconds + args.warm_seconds + 0.2)
    if args.eaq:
        original = args.eaq_protocol == "original"
        one = 3 + (2 * args.eaq_seconds + args.warm_seconds if original else 6 * args.eaq_seconds + 10)
        seconds += 3 + (4 if original else 0) + max(1, 2 * args.blocks) * one
    return seconds


# --- visits

def screened_out(times, factor):
    """Of {name: milliseconds of one short visit}, those too far behind the first to be it."""
    if not times or not factor:
        return {}
    best = min(times.values())
    return {name: ms / best for name, ms in times.items() if ms > factor * best}


class Row:
    """One work in one format: who runs, what each visit said."""

    def __init__(self, work, format, args, card):
        self.work, self.format, self.args, self.card = work, format, args, card
        self.ready, self.records, self.ms, self.mJ = {}, [], [], []

    def fail(self, name, error):
        """A contestant that broke is a line of the result; the others go on."""
        reason = f"not available: {shortened(error)}" if isinstance(error, Unavailable) else f"failed: {type(error).__name__}: {shortened(error)}"
        if name != "eaq":  # whose message has everything
            traceback.print_exc(limit=-4, file=sys.stderr)
        self.record(name)["does_not_count"] = reason
        self.ready.pop(name, None)
        for block in self.ms + self.mJ:
            block.pop(name, None)
        peers.say(f"  {name}: {reason}")
        self.card.tidy()

    def record(self, name):
        return next(record for record in self.records if record["name"] == name)

    def prepare(self, source):
        answers = Answers(self.work, source, batches_of(self.work, source.tokenizer(self.work)), self.card.device)
        makers = [kind for kind in PEERS[self.work.phase] if kind.key in self.args.peers]
        for kind in ([EaqOnGpu] if self.args.eaq else []) + makers:
            self.records.append({"name": kind.name})
            start = time.monotonic()
            try:
                one = kind(self.work, self.format, source, self.card.device, self.args)
                record = self.record(kind.name)
                record.update(version=one.version, options=one.options)
                error = one.prepare(answers)
                record["relative_error"] = error if error is None or math.isfinite(error) else None
                if one.compile_seconds is not None:
                    record["compile_seconds"] = round(one.compile_seconds, 1)
            except (Exception, SystemExit) as failure:
                self.fail(kind.name, failure)
                continue
            record["prepare_seconds"] = round(time.monotonic() - start, 1)
            if error is None:
                record["unchecked"] = "synthetic weights differ on the two sides"
            if error is not None and not error <= WRONG_ABOVE[self.format]:
                record["does_not_count"] = f"wrong answers: relative error {error:.3g}, allowed {WRONG_ABOVE[self.format]:g}"
                peers.say(f"  {kind.name}: {record['does_not_count']}")
            else:
                self.ready[kind.name] = one
                peers.say(f"  {kind.name}: ready in {record['prepare_seconds']:.0f} s, " + ("unchecked" if error is None else f"relative error {error:.1e}"))

    def visit(self, name, min_seconds, warm_seconds):
        """(milliseconds, millijoules of a sample) as the row counts them; nothing where it broke."""
        one, start = self.ready[name], time.monotonic()
        try:
            if name == "eaq":
                values = one.visit_in_units()
                self.record(name).setdefault("visit_seconds", round(time.monotonic() - start, 1))
                return values
            parts, samples = parts_of_a_pass(self.work)
            with one.running():
                seconds, joules = visit(one.run_pass, self.card.synchronize, self.card.recorder, min_seconds, warm_seconds)
            return 1000 * seconds / parts, None if joules is None else 1000 * joules / samples
        except Exception as failure:
            self.fail(name, failure)
            return None

    def screen_peers(self):
        """One short visit of each peer; those far behind stay with that time."""
        times = {}
        for name in [name for name in self.ready if name != "eaq"]:
            if values := self.visit(name, min(0.4, self.args.min_seconds), min(0.3, self.args.warm_seconds)):
                times[name] = values[0]
        for name, behind in screened_out(times, self.args.screen).items():
            self.record(name).update(ms_of_one_visit=times[name], not_visited_again=f"{behind:.2f} x the fastest peer in one short visit")
            del self.ready[name]

    def visit_once(self):
        """One visit each and no interval, where no blocks were asked for."""
        visits = {name: self.visit(name, self.args.min_seconds, self.args.warm_seconds) for name in list(self.ready)}
        self.ms.append({name: [values[0]] for name, values in visits.items() if values})
        self.mJ.append({name: [values[1]] for name, values in visits.items() if values})
        peers.say("  " + ", ".join(describe(name, ms, self.mJ[0][name]) for name, ms in self.ms[0].items()))

    def run_blocks(self, budget):
        """True where it was interrupted. Complete blocks count."""
        for block in range(self.args.blocks):
            start = time.monotonic()
            ms, mJ = {name: [] for name in self.ready}, {name: [] for name in self.ready}
            try:
                for name in peers.order_of_block(list(self.ready), block):
                    values = self.visit(name, self.args.min_seconds, self.args.warm_seconds) if name in self.ready else None
                    if values:
                        ms[name].append(values[0])
                        mJ[name].append(values[1])
            except KeyboardInterrupt:
                return True
            self.ms.append({name: ms[name] for name in self.ready})
            self.mJ.append({name: mJ[name] for name in self.ready})
            peers.say(f"  block {block + 1}/{self.args.blocks}: " + ", ".join(describe(name, self.ms[-1][name], self.mJ[-1][name]) for name in self.ready))
            took = time.monotonic() - start
            if block + 1 < self.args.blocks and budget.left() is not None and took > budget.left():
                peers.say("  --minutes leaves no time for another block")
                break
        return False

    def result(self):
        return make_row(self.work, self.format, self.records, self.ready, self.ms, self.mJ, self.card)

    def close(self):
        self.ready.clear()
        self.card.tidy()


def shortened(error, most=400):
    """What is wrong stands at the beginning or at the end of a long message."""
    line = (str(error).strip().splitlines() or ["?"])[0]
    return line if len(line) <= most else f"{line[:most // 2]} ... {line[-most // 2:]}"


def describe(name, ms, mJ):
    joules = [value for value in mJ if value is not None]
    return f"{name} {sum(ms) / len(ms):.4f} ms" + (f" {sum(joules) / len(joules):.4g} mJ" if joules else "")


# --- the run

class Card:
    """The card in use, its counter, and what is known of both."""

    def __init__(self, dry_run):
        import torch

        self.device, self.started = "cpu" if dry_run else "cuda", time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.uuid = self.recorder = self.reason = None
        if dry_run:
            self.name, self.facts, self.recorder = "dry run", {}, Constant()
            return
        if not torch.cuda.is_available():
            raise Unavailable("PyTorch sees no CUDA device here")
        properties = torch.cuda.get_device_properties(0)
        uuid = str(properties.uuid)
        self.name, self.uuid = properties.name, uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        self.facts = {"uuid": self.uuid, "memory_MiB": properties.total_memory >> 20, "cuda": torch.version.cuda}
        try:
            self.facts.update(Nvml(self.uuid).facts())
            self.recorder = Recorder(self.uuid)
        except NoCounter as error:
            self.reason = str(error)
            peers.say(f"no joules: {error}")

    def why_no_joules(self):
        return self.reason or self.recorder.why_none()

    def synchronize(self):
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()

    def tidy(self):
        import torch

        gc.collect()
        torch.compiler.reset()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def close(self):
        if self.recorder:
            self.recorder.close()


def arguments(words=None):
    names = lambda text: [name.strip() for name in text.split(",") if name.strip()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda"], default="cuda")
    parser.add_argument("--models", help="a folder with gpt2-small/ and distilbert-sst2/, or `synthetic`; without it, random weights of true shape are written to a temporary one")
    parser.add_argument("--works", type=names, default=[work.name for work in WORKS])
    parser.add_argument("--formats", type=names, default=list(FORMATS))
    parser.add_argument("--peers", type=names, default=["eager", "graph", "compile", "own"], help=f"of {', '.join(KEYS)} (default: eager,graph,compile,own; own ones decode)")
    parser.add_argument("--compile-mode", default=COMPILE_MODE, choices=["default", "reduce-overhead", COMPILE_MODE], help="of torch.compile; the CUDA graph round it is ours (default: %(default)s)")
    parser.add_argument("--blocks", type=int, default=2, help="0: answers, and one visit each (default: 2)")
    parser.add_argument("--min-seconds", type=float, default=3.0, help="of a peer's visit (default: 3)")
    parser.add_argument("--warm-seconds", type=float, default=1.5, help="of warm passes before it, eaq's too in protocol original: a card that rested draws more for a second than its cap allows, and is faster (default: 1.5)")
    parser.add_argument("--screen", type=float, default=1.3, help="peers this many times slower than the fastest in one short visit are not visited again; 0: all are (default: 1.3)")
    parser.add_argument("--minutes", type=float, help="start no row that would not be done by then")
    parser.add_argument("--sst2-batch", type=int, default=SST2_BATCH, help="sentences in a batch of sst2-dev (default: 218)")
    parser.add_argument("--eaq", type=Path, default=ROOT / "build" / "cuda" / "eaq", help="the program (default: build/cuda/eaq)")
    parser.add_argument("--without-eaq", action="store_true", help="the peers alone")
    parser.add_argument("--eaq-protocol", choices=["blocks", "original"], default="blocks", help="of its study; original spares idle pauses and controls, so a visit takes a third of the time (default: blocks)")
    parser.add_argument("--eaq-options", type=shlex.split, default=[], help="options for its study, in quotes, in place of those of the protocol")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--merge", type=Path, help="a result of the same card, if it is there: its other rows are kept")
    parser.add_argument("--dry-run", action="store_true", help="all of it with tiny models on the processor and a made-up power: its figures mean nothing")
    args = parser.parse_args(words)
    for given, known, what in ((args.works, [work.name for work in WORKS], "work"), (args.formats, FORMATS, "format"), (args.peers, KEYS, "peer")):
        if set(given) - set(known):
            parser.error(f"unknown {what} {', '.join(sorted(set(given) - set(known)))}; known: {', '.join(known)}")
    if args.dry_run and not args.out:
        parser.error("--dry-run needs --out: its figures are no result")
    args.eaq_seconds = args.min_seconds / 2 if args.dry_run else max(1.0, args.min_seconds / 2)  # at its limit a card's power swings once a second
    if args.without_eaq:
        args.eaq = None
    elif not args.eaq.exists():
        parser.error(f"{args.eaq} does not exist: `make build-cuda` first, or --without-eaq")
    return args


def new_result(card, args, source):
    import torch

    machine = {"card": card.name, **card.facts, **peers.processor(), "torch": torch.__version__, "load_before": os.getloadavg()[0]}
    weights = "synthetic" if source.synthetic else "given" if args.models else "random, true shapes"
    return {"schema": "eaq.peers/1", "interrupted": False, "machine": machine, "command": peers.command(), "started": card.started, "weights": {"source": weights},
            "protocol": {"blocks": args.blocks, "visits_per_block": 2, "min_seconds": args.min_seconds, "warm_seconds": args.warm_seconds, "screen": args.screen,
                         "eaq_protocol": args.eaq_protocol, "eaq_visit_seconds": args.eaq_seconds, "energy": "slope of the card's total energy counter, on both sides"},
            "rows": [], "not_run": []}


def works_of(args):
    chosen = [replace(work, batch=args.sst2_batch) if work.name == "sst2-dev" else work for work in WORKS if work.name in args.works]
    return [tiny(work) for work in chosen] if args.dry_run else chosen


def run_rows(card, args, source, out, earlier):
    result, budget, rows = new_result(card, args, source), Budget(args.minutes), []
    for work, format in [(work, format) for work in works_of(args) for format in FORMATS if format in args.formats]:
        guess = guess_seconds(work, args)
        if result["interrupted"] or not budget.fits(guess):
            reason = "interrupted" if result["interrupted"] else f"about {budget.scaled(guess):.0f} s, and --minutes leaves {max(0, budget.left()):.0f}"
            result["not_run"].append({"work": work.name, "format": format, "reason": reason})
            peers.write(out, result)
            continue
        peers.say(f"{work.name} {format}")
        start, row = time.monotonic(), Row(work, format, args, card)
        try:
            with products_in(format):
                row.prepare(source)
                if args.blocks:
                    row.screen_peers()
                    result["interrupted"] = row.run_blocks(budget)
                else:
                    row.visit_once()
        except KeyboardInterrupt:
            result["interrupted"] = True
        except Exception as failure:  # tokens or reference: nobody can be measured
            traceback.print_exc(file=sys.stderr)
            result["not_run"].append({"work": work.name, "format": format, "reason": f"failed: {type(failure).__name__}: {failure}"[:500]})
        else:
            rows.append({**row.result(), "protocol": result["protocol"], "seconds": round(time.monotonic() - start, 1)})
        budget.note(guess, time.monotonic() - start)
        row.close()
        result["rows"] = merged(earlier, rows)
        result["machine"]["load_after"] = os.getloadavg()[0]
        peers.write(out, result)
    return result


def silence_autotuning():
    """Every product's candidates would be printed, some thousand lines a run."""
    try:
        from torch._inductor import select_algorithm

        select_algorithm.PRINT_AUTOTUNE = False
    except ImportError:
        pass


def main(words=None):
    args = arguments(words)
    warnings.filterwarnings("ignore")
    import transformers

    silence_autotuning()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        card = Card(args.dry_run)
        args.uuid = card.uuid
        out = args.out or ROOT / "docs" / "results" / file_name(card.name)
        earlier = earlier_rows(args.merge, card.name) if args.merge and args.merge.exists() else []
    except (Unavailable, ValueError, OSError) as error:
        peers.say(f"peers: {error}")
        return 4 if isinstance(error, Unavailable) else 3
    try:
        with tempfile.TemporaryDirectory(prefix="eaq-peers-models-") as temporary:
            source = Source(args.models if args.models != "synthetic" else None, args.models == "synthetic", args.dry_run)
            if not args.models and not args.dry_run:
                peers.say("writing random weights of true shape (--models DIR takes real ones)")
                write_random_models(Path(temporary))
                source.folder = temporary
            result = run_rows(card, args, source, out, earlier)
    finally:
        card.close()
    print(table(result))
    peers.say(f"written: {out}")
    return 130 if result["interrupted"] else 0
