"""What a peer is: a class with a name that loads a work in a format, shows its answers, and runs the work again and again.

A file `*_peer.py` in this folder is one system; its PEERS are its ways to run. It is imported everywhere, so frameworks are imported
inside of functions. A method that cannot do a work raises Unavailable with the reason, which is recorded."""
import fcntl
import importlib.metadata
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from contestants import Unavailable, repeat  # noqa: E402, F401
from works import Work  # noqa: E402


@dataclass(frozen=True)
class Task:
    """A work to load: its batches are {"input_ids", "attention_mask"} in NumPy, int64, as the row's own padding has them."""

    work: Work
    format: str  # of the row: fp32, bf16, int8
    threads: int
    model: Path  # a folder as Hugging Face writes it
    batches: list
    cache: Path  # for what is converted once and used by several rows

    @property
    def prompt(self):
        return self.batches[0]["input_ids"]

    @property
    def sentences(self):
        return sum(len(batch["input_ids"]) for batch in self.batches)

    @property
    def one_sequence_of_full_length(self):
        return self.work.family == "gpt2"


NOT_MEANT = ""  # this way is not for that row, another of the same system is: no word about it


class Peer:
    name = "?"
    distributions = ()  # whose versions a result names
    venv = "main"  # which requirements it is installed from
    information = None  # a reason why its times are shown and never count

    @classmethod
    def refuses(cls, work, format):
        """A reason known without trying, NOT_MEANT, or nothing."""
        return None

    def __init__(self, task):
        self.task, self.work, self.format = task, task.work, task.format
        self.version = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in self.distributions)
        self.options = ""
        self.kernels = None

    def answers(self):
        """{"logits": [one array a batch]}; of a decode {"tokens": [1, prompt + new], "logits": [new, vocabulary]}: what chose each new token."""
        if self.work.phase != "decode":
            return {"logits": [self.logits(batch) for batch in range(len(self.task.batches))]}
        import numpy

        _, tokens, logits = self.decode(keep_logits=True)
        return {"tokens": numpy.concatenate([self.task.prompt[0], tokens])[None], "logits": numpy.stack(logits)}

    def logits(self, batch):
        raise NotImplementedError

    def run_pass(self):
        for batch in range(len(self.task.batches)):
            self.run_batch(batch)

    def run_batch(self, batch):
        self.logits(batch)

    def visit(self, min_seconds):
        """Milliseconds of a batch, of a sentence of sst2-dev, of a token of a decode."""
        if self.work.phase == "decode":
            return decode_milliseconds(self.decode_pass, min_seconds)
        if self.work.whole_set:
            return repeat(self.run_pass, min_seconds, passes=1, before=lambda: self.run_batch(-1)) / self.task.sentences
        return repeat(self.run_pass, min_seconds)

    def decode_pass(self):
        """Milliseconds per new token, the prompt's own pass left out."""
        return self.decode()[0]

    def begin(self):
        """Of a decode by step(): forgets all keys and values."""
        raise NotImplementedError

    def step(self, ids, position):
        """Logits of the last of `ids` [1, n], of which the first stands at `position`."""
        raise NotImplementedError

    def decode(self, keep_logits=False):
        """A greedy loop of our own: milliseconds per new token, the new tokens, and where asked for the logits that chose them."""
        import numpy

        self.begin()
        prompt = self.task.prompt
        logits = self.step(prompt, 0)
        tokens, kept = [], []
        start = time.perf_counter()
        for position in range(prompt.shape[1], prompt.shape[1] + self.work.new_tokens):
            if keep_logits:
                kept.append(logits.copy())
            tokens.append(int(logits.argmax()))
            logits = self.step(numpy.array([[tokens[-1]]], dtype=numpy.int64), position)
        elapsed = time.perf_counter() - start
        return 1000 * elapsed / self.work.new_tokens, tokens, kept


def decode_milliseconds(decode_pass, min_seconds):
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < min_seconds:
        times.append(decode_pass())
    return sum(times) / len(times)


def fastest(ways, passes=2):
    """The name of the way that is quickest: {"name": function}."""
    def seconds(run):
        run()
        start = time.perf_counter()
        for _ in range(passes):
            run()
        return time.perf_counter() - start
    return min(ways, key=lambda name: seconds(ways[name]))


@contextmanager
def locked(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(path, make):
    """A converted model, made once by whoever needs it first: make(path) writes a file or a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(path.name + ".lock")):
        if not path.exists():
            part = path.with_name("part-" + path.name)
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(path)
    return path


def processor_flags():

    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def has_vnni():
    return bool(processor_flags() & {"avx512_vnni", "avx_vnni", "amx_int8"})
