"""What all runs share of who takes part: the shipped program, whose visit is a process of its own, and how passes are timed. Peers on a
processor stand in cpu/*_peer.py, on a card in gpu_contestants.py and gpu_decode.py."""
import json
import subprocess
import tempfile
import time
from pathlib import Path

THREADS = 2


class Unavailable(Exception):
    """This contestant cannot do this work here; the message says why. It is recorded, never silent."""


def repeat(run, min_seconds, passes=3, before=None):
    """Mean milliseconds of run(), over at least min_seconds and three passes. The first pass (or `before`) is not counted: another
    contestant had the caches before."""
    (before or run)()
    count, start = 0, time.perf_counter()
    while True:
        run()
        count += 1
        elapsed = time.perf_counter() - start
        if count >= passes and elapsed >= min_seconds:
            return 1000 * elapsed / count


class Eaq:
    """The shipped program, one process a visit. Everything that depends on its command line and result stands here."""

    name = "eaq"
    decode_unit = "token"

    def __init__(self, work, format, model_folder, program, threads=THREADS):
        self.work, self.format, self.model, self.program, self.threads = work, format, model_folder, program, threads
        self.version = self.call([program, "--version"]).strip()
        self.options = f"{threads} threads"
        self.kernels = None
        self.cycle_seconds = 0.0  # of a decode: all its new tokens once

    def call(self, command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode == 4:
            raise Unavailable(done.stderr.strip() or "not available here")
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def study_command(self, min_seconds, out):
        """Two blocks of two visits each: four short visits share this one's time."""
        work = self.work
        shape = ["--seq", work.seq] if work.seq else ["--unpadded"]
        return [self.program, "study", self.model, "--formats", self.format, "--batch", work.batch, *shape, "--phase", work.phase,
                "--device", "cpu", "--threads", self.threads, "--protocol", "blocks", "--min-seconds", max(min_seconds / 4, self.cycle_seconds), "--meter", "none", "--blocks", 2,
                *(["--limit", 1] if work.seq else []), "--json", "--out", out]

    def milliseconds(self, study):
        """Of one pass, or of one token of a decode. A format given as another than was asked for is no answer."""
        runs = study["runs"]
        if len(runs) != 1:
            refused = "; ".join(row.get("reason", "?") for row in study.get("refused", []))
            raise Unavailable(refused or f"{len(runs)} runs in the result, expected 1")
        run = runs[0]
        if run["format"] != self.format or run["emulated"] or (run["batch"], run["phase"]) != (self.work.batch, self.work.phase) \
                or run["seq"] not in (self.work.seq, self.work.seq + self.work.new_tokens):
            raise RuntimeError(f"eaq ran {run['format']} (emulated: {run['emulated']}), batch {run['batch']}, seq {run['seq']}, {run['phase']}")
        if self.work.phase == "decode" and run["unit"] != self.decode_unit:
            raise RuntimeError(f"eaq's decode is per {run['unit']}, expected per {self.decode_unit}")
        self.kernels = run.get("kernels")
        return run["latency_ms"]["mean"]

    def visit(self, min_seconds):
        if self.work.phase == "decode" and not self.cycle_seconds:
            # Later tokens have more keys to read. A visit shorter than all of them would time the cheap ones only.
            self.cycle_seconds = 1.1 * self.work.new_tokens * self.study(min_seconds) / 1000
        return self.study(min_seconds)

    def study(self, min_seconds):
        with tempfile.TemporaryDirectory(prefix="eaq-peers-") as out:
            return self.milliseconds(json.loads(self.call(self.study_command(min_seconds, Path(out) / "study"))))
