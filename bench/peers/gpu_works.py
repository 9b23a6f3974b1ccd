"""What is computed on a graphics card: works, their tokens, models in PyTorch, and the answers that everybody is held to."""
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from works import FOLDERS, ROOT, TINY, Work, inputs_of

FORMATS = ("fp32", "tf32", "fp16", "bf16")
SST2_BATCH = 218  # a quarter of the dev set: what PyTorch does best with

WORKS = [
    Work("distilbert-b32-s128", "distilbert", "forward", 32, 128, formats=FORMATS),
    Work("distilbert-b1-s128", "distilbert", "forward", 1, 128, formats=FORMATS),
    Work("gpt2-b8-s1024", "gpt2", "forward", 8, 1024, formats=FORMATS),
    Work("gpt2-b1-s128", "gpt2", "forward", 1, 128, formats=FORMATS),
    Work("gpt2-decode", "gpt2", "decode", 1, 128, new_tokens=128, formats=FORMATS),
    Work("sst2-dev", "distilbert", "forward", SST2_BATCH, 0, formats=FORMATS),
]

# As on a CPU: what rounding stays far below and a wrong kernel is far above.
WRONG_ABOVE = {"fp32": 1e-3, "tf32": 0.02, "fp16": 0.02, "bf16": 0.05}
SENTENCES = 872  # of SST-2's dev set


def unit_of(work):
    """What `ms` and `mJ_per_sample` are of. A batch's time is of the whole batch, its energy of one of its samples."""
    if work.phase == "decode":
        return {"ms_per": "token", "sample": "token"}
    if work.name == "sst2-dev":
        return {"ms_per": "sentence", "sample": "sentence"}
    return {"ms_per": "batch", "sample": "sentence" if work.family == "distilbert" else "window"}


def parts_of_a_pass(work):
    """(into how many parts a pass's time is divided for `ms`, how many samples a pass holds)"""
    if work.phase == "decode":
        return work.new_tokens, work.new_tokens
    if work.name == "sst2-dev":
        return SENTENCES, SENTENCES
    return 1, work.batch


def tiny(work):
    """The same work at a size that a processor does at once, for a dry run. A decode has as many new tokens as its prompt, as eaq's has."""
    seq = min(work.seq, 16)
    return replace(work, batch=work.batch if work.name == "sst2-dev" else min(work.batch, 2), seq=seq, new_tokens=seq if work.new_tokens else 0)


def sorted_batches(lengths, size):
    """Indices of items, shortest first, in batches of a size: what pads least."""
    order = sorted(range(len(lengths)), key=lambda item: (lengths[item], item))
    return [order[first:first + size] for first in range(0, len(order), size)]


def padded_length(longest):
    """Tensor cores and fused attention like multiples of 8."""
    return -(-longest // 8) * 8


def batches_of(work, tokenizer_folder):
    """A pass's batches of real tokens: one, or of sst2-dev the whole dev set."""
    if work.name != "sst2-dev":
        return [inputs_of(work, tokenizer_folder)]
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    lines = (ROOT / "data" / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ids = tokenizer([line.split("\t")[1] for line in lines])["input_ids"]
    if len(ids) != SENTENCES:
        raise RuntimeError(f"data/sst2/dev.tsv has {len(ids)} sentences, expected {SENTENCES}")
    batches = []
    for items in sorted_batches([len(one) for one in ids], work.batch):
        width = padded_length(max(len(ids[item]) for item in items))
        padded = torch.full((len(items), width), tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(padded)
        for row, item in enumerate(items):
            padded[row, :len(ids[item])] = torch.tensor(ids[item])
            mask[row, :len(ids[item])] = 1
        batches.append({"input_ids": padded, "attention_mask": mask})
    return batches


class Source:
    """Where weights come from: a folder of models, or `synthetic`, random ones of true shape on each side by itself."""

    def __init__(self, folder=None, synthetic=False, dry_run=False):
        self.folder, self.synthetic, self.dry_run = folder, synthetic, dry_run

    def path(self, work):
        if self.dry_run:
            return ROOT / "models" / TINY[work.family]
        return Path(self.folder) / FOLDERS[work.family] if self.folder else None

    def tokenizer(self, work):
        return self.path(work) or ROOT / "models" / TINY[work.family]

    def of_eaq(self, work):
        return self.path(work) or f"synthetic:{work.family}"

    def model(self, work, attention, dtype, device):
        """In PyTorch, as Transformers has it."""
        import torch
        from transformers import DistilBertConfig, DistilBertForSequenceClassification, GPT2Config, GPT2LMHeadModel

        kind, config = (GPT2LMHeadModel, GPT2Config) if work.family == "gpt2" else (DistilBertForSequenceClassification, DistilBertConfig)
        if self.path(work):
            model = kind.from_pretrained(self.path(work), dtype=torch.float32, attn_implementation=attention)
        else:
            torch.manual_seed(0)  # every contestant the same weights
            model = kind._from_config(config(initializer_range=0.04), attn_implementation=attention)
        return model.eval().to(device=device, dtype=dtype)


@contextmanager
def products_in(format):
    """fp32 products whole, or in TF32. Everything else has its format in its tensors."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if format == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Answers:
    """fp32, eager attention, whole products, on the device: what every contestant is held to."""

    def __init__(self, work, source, batches, device):
        import torch

        self.device = device
        self.batches = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]
        self.model = source.model(work, "eager", torch.float32, device)
        self.logits = [self.run(**batch) for batch in self.batches] if work.phase == "forward" else None

    def run(self, **inputs):
        import torch

        with torch.inference_mode(), products_in("fp32"):
            return self.model(**inputs, **({"use_cache": False} if hasattr(self.model, "transformer") else {})).logits

    @staticmethod
    def difference(logits, expected):
        logits = logits.to(expected.device).float().reshape(expected.shape)
        if not logits.isfinite().all():
            return float("inf")
        return float((logits - expected).abs().max() / expected.abs().max())

    def error(self, all_logits):
        """The largest relative error of any batch."""
        return max(self.difference(logits, expected) for logits, expected in zip(all_logits, self.logits, strict=True))

    def greedy_error(self, tokens, logits):
        """A decode, held to one pass along the tokens that it chose (see works.Reference)."""
        new = logits.shape[0]
        return self.difference(logits, self.run(input_ids=tokens)[0, -new - 1:-1])
