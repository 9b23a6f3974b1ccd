"""The peers' processes: started, asked, and stopped while others are timed."""
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from contestants import Unavailable

HERE = Path(__file__).resolve().parent
PEER_FILES = sorted(HERE.glob("*_peer.py"))


def kinds():
    """Every way of every peer, in the order of the files: [(module's name, class)]."""
    return [(file.stem, kind) for file in PEER_FILES for kind in importlib.import_module(file.stem).PEERS]


def python_of(venv, main=sys.executable):
    """The interpreter of a peer that wants packages of its own: EAQ_PEERS_PYTHON_ZENTORCH names zentorch's, as bench/peers/run made it."""
    if venv == "main":
        return main
    named = os.environ.get(f"EAQ_PEERS_PYTHON_{venv.upper()}")
    if not named:
        raise Unavailable(f"no environment for {venv} (bench/peers/run makes it on machines that it is for; EAQ_PEERS_PYTHON_{venv.upper()} names one)")
    return named


ALIVE = set()  # a stopped process does not see that its run is gone: whoever ends ends them


def end_all():
    for process in list(ALIVE):
        process.kill()


class Process:
    """A worker. Between requests it is stopped (SIGSTOP): a pool that spins while it waits takes nothing from the others."""

    def __init__(self, module, kind, log, threads):
        self.name, self.module, self.kind = kind.name, module, kind
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1", "TOKENIZERS_PARALLELISM": "false", **getattr(kind, "environment", {})}
        self.log = log
        with open(log, "ab") as errors:
            self.process = subprocess.Popen([python_of(kind.venv), "-u", HERE / "worker.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, text=True, env=environment, start_new_session=True)
        ALIVE.add(self)
        self.said = {}

    def ask(self, request, seconds):
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.read_line(seconds)
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            raise Unavailable(f"its process ended ({code}): {self.last_words()}")
        said = json.loads(line)
        os.killpg(self.process.pid, signal.SIGSTOP)
        if "unavailable" in said:
            raise Unavailable(said["unavailable"])
        return said

    def read_line(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.kill()
            raise Unavailable(f"no answer within {seconds:.0f} s")
        return self.process.stdout.readline()

    def last_words(self):
        return " | ".join(Path(self.log).read_text(errors="replace").strip().splitlines()[-3:])[-600:]

    def load(self, task, batches_file, answers_file, seconds):
        """Loads, and leaves its answers in a file."""
        start = time.monotonic()
        request = {"do": "load", "module": self.module, "peer": self.name, "work": asdict(task.work), "format": task.format, "threads": task.threads,
                   "model": str(task.model), "batches": str(batches_file), "cache": str(task.cache)}
        self.said = self.ask(request, seconds)
        self.said.update(self.ask({"do": "answers", "file": str(answers_file)}, seconds))
        self.said["prepare_seconds"] = round(time.monotonic() - start, 1)
        return self.said

    def visit(self, seconds):
        return self.ask({"do": "visit", "seconds": seconds}, 600 + 10 * seconds)["ms"]

    def kill(self):
        ALIVE.discard(self)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
