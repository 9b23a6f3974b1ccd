"""Who takes part on a graphics card in passes over whole sequences, and the shipped program there. Decoding: gpu_decode.py.

A contestant has a key (for --peers), a name, a version and its options; it prepares itself, which tells its answers' error, and then
runs passes that are only submitted: who visits it synchronises."""
import math
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from contestants import Eaq, Unavailable
from gpu_works import products_in

COMPILE_MODE = "max-autotune-no-cudagraphs"  # the graph is ours, so that nothing is checked or copied at each call
WARM_UP_RUNS = 3


class Captured:
    """A run recorded once as a CUDA graph; `output` holds what the latest replay computed."""

    def __init__(self, run, device, pool=None):
        import torch

        self.run, self.output, self.graph = run, None, None
        if device == "cpu":  # a dry run
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                run()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            self.output = run()

    def replay(self):
        if self.graph is None:
            self.output = self.run()
        else:
            self.graph.replay()


def dtype_of(format):
    import torch

    return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(format, torch.float32)


def without_mask():
    """The name of Transformers' sdpa attention with no mask made for it. While a graph is captured or compiled, Transformers makes a
    causal mask in memory, and PyTorch then cannot take its fastest kernels; all tokens here are real, so causal alone is right."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register("sdpa_without_mask", sdpa_attention_forward)
    return "sdpa_without_mask"


def additive_mask(mask, dtype):
    """Of a padded batch, once and for all layers: a boolean mask would be turned into this in each of them."""
    import torch

    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask == 0, torch.finfo(dtype).min)
    return bias[:, None, None, :].expand(-1, 1, mask.shape[1], -1)


class TorchOnGpu:
    """What all of PyTorch's contestants share."""

    graphed = compiled = False

    def __init__(self, work, format, source, device, args):
        import torch
        import transformers

        self.work, self.format, self.device = work, format, device
        self.version = f"{torch.__version__}, transformers {transformers.__version__}"
        self.mode = args.compile_mode
        self.dtype = dtype_of(format)
        self.options = "sdpa, inference_mode" + {"fp32": "", "tf32": ", float32_matmul_precision high"}.get(format, f", .to({str(self.dtype)[6:]})")
        if self.compiled:
            self.options += f", torch.compile(mode={self.mode!r})"
        if self.graphed:
            self.options += ", CUDA graph"
        self.compile_seconds = None
        self.model = source.model(work, self.attention(), self.dtype, device)

    def attention(self):
        return "sdpa"

    def compile(self, function):
        """With our own graph round it, a mode that brings one would only check and copy more."""
        import torch

        mode = "default" if self.mode == "reduce-overhead" else self.mode
        return torch.compile(function, dynamic=False, **({} if mode == "default" else {"mode": mode}))

    def prepare(self, answers):
        import torch

        with torch.inference_mode(), products_in(self.format):
            start = time.monotonic()
            error = self.prepare_within(answers)
            if self.compiled:
                self.compile_seconds = time.monotonic() - start
            return error

    def running(self):
        """What a visit runs its passes within."""
        import torch

        return torch.inference_mode()


class TorchEager(TorchOnGpu):
    """Transformers' classes as they are."""

    key, name = "eager", "torch eager"

    def inputs(self, batch):
        if self.work.family == "gpt2":  # all tokens are real: sdpa takes its causal path
            return {"input_ids": batch["input_ids"], "use_cache": False}
        return batch

    def prepare_within(self, answers):
        self.batches = [self.inputs(batch) for batch in answers.batches]
        return answers.error(self.model(**batch).logits for batch in self.batches)

    def run_pass(self):
        for batch in self.batches:
            self.model(**batch)


class TorchGraph(TorchEager):
    """The same in a CUDA graph: static inputs, captured after warm-up; no mask is made at each pass."""

    key, name, graphed = "graph", "torch CUDA graph", True

    def attention(self):
        return without_mask() if self.work.family == "gpt2" else "sdpa"

    def inputs(self, batch):
        if self.work.family == "gpt2":
            return super().inputs(batch)
        return {"input_ids": batch["input_ids"], "attention_mask": additive_mask(batch["attention_mask"], self.dtype)}

    def prepare_within(self, answers):
        model = self.compile(self.model) if self.compiled else self.model
        self.graphs = []
        for batch in answers.batches:
            inputs = self.inputs(batch)
            self.graphs.append(Captured(lambda inputs=inputs: model(**inputs).logits, self.device, self.graphs[0].graph.pool() if self.graphs and self.graphs[0].graph else None))
        # Graphs of one pool share memory: each answer is read before the next graph runs.
        def replayed():
            for graph in self.graphs:
                graph.replay()
                yield graph.output
        return answers.error(replayed())

    def run_pass(self):
        for graph in self.graphs:
            graph.replay()


class TorchCompiled(TorchGraph):
    """torch.compile of the same, with the graph round it."""

    key, name, compiled = "compile", "torch compile", True


class EaqOnGpu(Eaq):
    """The shipped program, one process a visit, on the card that PyTorch uses."""

    key = "eaq"

    def __init__(self, work, format, source, device, args):
        self.device, self.args, self.synthetic = device, args, source.synthetic
        self.seconds, self.iterations, self.mJ, self.why_no_mJ = args.eaq_seconds, None, None, None
        super().__init__(work, format, source.of_eaq(work), args.eaq)
        self.options = f"study, protocol {args.eaq_protocol}" + (", unpadded" if not work.seq else "")
        self.compile_seconds = None

    def call(self, command):
        """Sees one card: else the joules of all would be counted."""
        return super().call(["env", f"CUDA_VISIBLE_DEVICES={self.args.uuid}", *command] if self.args.uuid else command)

    def study_command(self, min_seconds, out):
        work = self.work
        shape = ["--batch", work.batch, *(["--seq", work.seq] if work.seq else ["--unpadded"]), "--phase", work.phase]
        limit = [("--limit", work.batch if work.family == "distilbert" else 1)] if work.seq else []
        if self.args.eaq_protocol == "original":
            iterations = self.iterations or 20
            protocol = [("--protocol", "original"), ("--method", "counter"), ("--trials", 2), ("--iterations", iterations), ("--warmup", max(5, round(iterations * self.args.warm_seconds / self.seconds)))]
        else:
            protocol = [("--blocks", 2), ("--min-seconds", f"{min_seconds:g}")]
        ours = [word for option in protocol + limit if option[0] not in self.args.eaq_options for word in option]
        return [self.program, "study", self.model, "--device", self.device, "--formats", self.format, *shape, *ours, *self.args.eaq_options, "--json", "--out", out]

    def milliseconds(self, study):
        """Of one batch or token; and keeps the joules of a sample."""
        ms = super().milliseconds(study)
        run = study["runs"][0]
        for note in run.get("notes", []):
            if "DIFFER from" in note:
                raise Unavailable(f"wrong answers: {note}")
        energy = run.get("energy") or {}
        self.mJ = (energy.get("mJ_per_sample") or {}).get("mean")
        self.why_no_mJ = "; ".join([run.get("energy_unavailable") or "no joules", *run.get("throttled", [])])
        return ms / self.work.batch if self.work.name == "sst2-dev" else ms

    def prepare(self, answers):
        """By `eaq logits` on the first sequences; that its timed passes answer the same, a study says itself."""
        if self.args.eaq_protocol == "original":
            for seconds in (0.3, self.seconds, self.seconds):  # short runs find a cold card, and say too much
                per_run = self.study(self.seconds) * (self.work.batch if self.work.name == "sst2-dev" else 1)
                self.iterations = max(3, math.ceil(1000 * seconds / per_run))
        if self.synthetic:
            return None  # each side has weights of its own
        from safetensors.torch import load_file, save_file

        batch = {name: tensor[:1 if self.work.family == "gpt2" else 32].cpu().contiguous() for name, tensor in answers.batches[-1].items()}
        with tempfile.TemporaryDirectory(prefix="eaq-peers-") as folder:
            ids, out = Path(folder) / "ids.safetensors", Path(folder) / "logits.safetensors"
            save_file(batch, ids)
            self.call([self.program, "logits", self.model, "--ids", ids, "-o", out, "--format", self.format, "--device", self.device])
            logits = load_file(out)["logits"]
        inputs = {"input_ids": batch["input_ids"]} if self.work.family == "gpt2" else batch
        return answers.difference(logits, answers.run(**{name: tensor.to(answers.device) for name, tensor in inputs.items()}))

    def running(self):
        return nullcontext()

    def visit_in_units(self):
        """(milliseconds, millijoules per sample or nothing)"""
        ms = self.study(self.seconds)
        return ms, self.mJ
