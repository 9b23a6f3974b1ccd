"""Who takes part. A contestant has a name, a version, its options, and three abilities: load a work in a format, be visited (run for
a while and say how many milliseconds one pass took), and show its answers. Another peer is another class here and a line in PEERS."""
import json
import subprocess
import tempfile
import time
from pathlib import Path

THREADS = 2


class Unavailable(Exception):
    """This contestant cannot do this work here; the message says why. It is recorded, never silent."""


def repeat(run, min_seconds):
    """Mean milliseconds of run(), over at least min_seconds and three passes. The first pass is not counted: another contestant had the
    caches before."""
    run()
    count, start = 0, time.perf_counter()
    while True:
        run()
        count += 1
        elapsed = time.perf_counter() - start
        if count >= 3 and elapsed >= min_seconds:
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
        return [self.program, "study", self.model, "--formats", self.format, "--batch", work.batch, "--seq", work.seq, "--phase", work.phase,
                "--device", "cpu", "--threads", self.threads, "--protocol", "blocks", "--min-seconds", max(min_seconds / 4, self.cycle_seconds), "--meter", "none", "--blocks", 2, "--limit", 1,
                "--json", "--out", out]

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

    def error(self, reference):
        """By `eaq logits` on the same tokens. A decode is checked by the forward pass that its steps must agree with."""
        from safetensors.torch import load_file, save_file

        with tempfile.TemporaryDirectory(prefix="eaq-peers-") as folder:
            ids, out = Path(folder) / "ids.safetensors", Path(folder) / "logits.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in reference.inputs.items()}, ids)
            self.call([self.program, "logits", self.model, "--ids", ids, "-o", out, "--format", self.format, "--device", "cpu", "--threads", self.threads])
            logits = load_file(out)["logits"]
        if self.work.phase == "decode":
            expected = reference.run(**reference.inputs)
            return float((logits - expected).abs().max() / expected.abs().max())
        return reference.error(logits)


class Torch:
    """Transformers' model classes in PyTorch's eager mode: sdpa attention, inference mode."""

    name = "torch eager"
    compiled = False

    def __init__(self, work, format, model_folder, threads=THREADS):
        import torch
        import transformers
        from transformers import DistilBertForSequenceClassification, GPT2LMHeadModel

        self.work = work
        self.version = f"{torch.__version__}, transformers {transformers.__version__}"
        self.options = f"sdpa, inference_mode, {threads} threads"
        torch.set_num_threads(threads)
        kind = GPT2LMHeadModel if work.family == "gpt2" else DistilBertForSequenceClassification
        self.model = kind.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="sdpa").eval()
        if format == "bf16":
            self.model.to(torch.bfloat16)
            self.options += ", .to(bfloat16)"
        elif format == "int8":
            if not hasattr(torch.ao.quantization, "quantize_dynamic"):
                raise Unavailable("this PyTorch has no quantize_dynamic")
            self.model = torch.ao.quantization.quantize_dynamic(self.model, {torch.nn.Linear}, dtype=torch.qint8)
            self.options += f", quantize_dynamic of Linear, engine {torch.backends.quantized.engine}"
        elif format != "fp32":
            raise Unavailable(f"no way to run {format} is written here")
        if self.compiled:
            self.model.forward = torch.compile(self.model.forward)
            self.options += ", torch.compile"

    def prepare(self, reference):
        import torch

        self.inputs = reference.inputs
        if self.work.family == "gpt2":  # no mask: all tokens are real, and sdpa then takes its causal path
            self.inputs = {"input_ids": reference.inputs["input_ids"], "use_cache": False}
        with torch.inference_mode():
            return reference.error(self.model(**self.inputs).logits)

    def visit(self, min_seconds):
        import torch

        with torch.inference_mode():
            return repeat(lambda: self.model(**self.inputs), min_seconds)


class TorchCompiled(Torch):
    name = "torch compile"
    compiled = True


class TorchDecode(Torch):
    """Greedy decoding in a loop of our own: Transformers' generate adds milliseconds of Python to each token."""

    name = "torch eager, DynamicCache"

    def new_cache(self):
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def decode(self, keep_logits=False):
        """Milliseconds per token, the prompt's own pass left out; and what was computed."""
        import torch

        prompt = self.prompt
        cache = self.new_cache()
        kept = []
        tokens = [prompt]
        with torch.inference_mode():
            logits = self.model(input_ids=prompt, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            start = time.perf_counter()
            for _ in range(self.work.new_tokens):
                if keep_logits:
                    kept.append(logits[0])
                token = logits.argmax(-1, keepdim=True)
                tokens.append(token)
                logits = self.model(input_ids=token, past_key_values=cache, use_cache=True).logits[:, -1]
            elapsed = time.perf_counter() - start
        return 1000 * elapsed / self.work.new_tokens, torch.cat(tokens, 1), torch.stack(kept) if kept else None

    def prepare(self, reference):
        self.prompt = reference.inputs["input_ids"]
        _, tokens, logits = self.decode(keep_logits=True)
        return reference.greedy_error(tokens, logits)

    def visit(self, min_seconds):
        times, start = [], time.perf_counter()
        while not times or time.perf_counter() - start < min_seconds:
            times.append(self.decode()[0])
        return sum(times) / len(times)


class TorchDecodeStatic(TorchDecode):
    name = "torch eager, StaticCache"

    def new_cache(self):
        from transformers import StaticCache

        return StaticCache(config=self.model.config, max_cache_len=self.work.seq + self.work.new_tokens)


PEERS = {"forward": [Torch, TorchCompiled], "decode": [TorchDecode, TorchDecodeStatic]}
