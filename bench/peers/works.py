"""What is computed: the works of a comparison, their inputs, and the reference answers."""
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Work:
    name: str
    family: str  # "distilbert" or "gpt2"
    phase: str  # "forward" or "decode"
    batch: int
    seq: int  # of a decode: the prompt
    new_tokens: int = 0
    formats: tuple = ("fp32",)


WORKS = [
    Work("distilbert-b32-s128", "distilbert", "forward", 32, 128, formats=("fp32", "bf16", "int8")),
    Work("distilbert-b1-s128", "distilbert", "forward", 1, 128, formats=("fp32", "bf16", "int8")),
    Work("gpt2-b1-s128", "gpt2", "forward", 1, 128),
    Work("gpt2-decode", "gpt2", "decode", 1, 128, new_tokens=128),
]

FOLDERS = {"distilbert": "distilbert-sst2", "gpt2": "gpt2-small"}
TINY = {"distilbert": "tiny-distilbert", "gpt2": "tiny-gpt2"}

# A logit's relative error, max|a - b| / max|b|, above which an answer is wrong. Rounding stays far below, saturated int8 far above.
WRONG_ABOVE = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.3}


def native_formats(cpuinfo=Path("/proc/cpuinfo")):
    """Formats that this processor multiplies in its own instructions; elsewhere a comparison would be of emulations."""
    flags = set()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            break
    formats = {"fp32"}
    if flags & {"avx512_bf16", "amx_bf16"}:
        formats.add("bf16")
    if flags & {"avx512_vnni", "avx_vnni", "amx_int8"}:
        formats.add("int8")
    return formats


def write_random_models(folder):
    """True shapes, seeded random weights of unit-scale products, and a small tokenizer whose ids the vocabulary has: for machines
    without the full-size models. Speed is the same, answers are still checked; only quality would mean nothing."""
    import shutil

    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    labels = {0: "NEGATIVE", 1: "POSITIVE"}
    # Transformers' own 0.02 leaves random logits near 0; 0.04 spreads them, so that a wrong answer shows.
    made = {"gpt2": GPT2LMHeadModel(GPT2Config(initializer_range=0.04)),
            "distilbert": DistilBertForSequenceClassification(DistilBertConfig(id2label=labels, label2id={v: k for k, v in labels.items()}, initializer_range=0.04))}
    for family, model in made.items():
        target = folder / FOLDERS[family]
        model.save_pretrained(target)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(ROOT / "models" / TINY[family] / file, target)


def inputs_of(work, model_folder):
    """Real tokens: a product on zeros or repeats is not the same work."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    if work.family == "gpt2":
        text = (ROOT / "data" / "wikitext2" / "wiki.test.raw").read_bytes().decode("utf-8")[:200_000]
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:work.batch * work.seq]
        ids = torch.tensor(ids).view(work.batch, work.seq)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    lines = (ROOT / "data" / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:work.batch + 1]
    sentences = [line.split("\t")[1] for line in lines]
    batch = tokenizer(sentences, padding="max_length", truncation=True, max_length=work.seq, return_tensors="pt")
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


class Reference:
    """fp32, eager attention: the answers that every contestant is held to."""

    def __init__(self, work, model_folder, inputs):
        import torch
        from transformers import DistilBertForSequenceClassification, GPT2LMHeadModel

        kind = GPT2LMHeadModel if work.family == "gpt2" else DistilBertForSequenceClassification
        self.inputs = inputs
        self.model = kind.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.logits = self.run(**inputs) if work.phase == "forward" else None

    def run(self, **inputs):
        import torch

        with torch.inference_mode():
            return self.model(**inputs).logits

    def error(self, logits):
        """Relative error of logits [.., n] of the work's inputs."""
        logits = logits.float().reshape(self.logits.shape)
        if not logits.isfinite().all():
            return float("inf")
        return float((logits - self.logits).abs().max() / self.logits.abs().max())

    def greedy_error(self, tokens, logits):
        """A decode: `tokens` [1, prompt + new] and the logits [new, vocabulary] that chose each new one. Compared with one pass over
        the same tokens: a choice between near-equals may fall either way, so tokens alone would accuse the innocent."""
        import torch

        new = logits.shape[0]
        expected = self.run(input_ids=tokens, attention_mask=torch.ones_like(tokens))[0, -new - 1:-1]
        if not logits.isfinite().all():
            return float("inf")
        return float((logits.float() - expected).abs().max() / expected.abs().max())
