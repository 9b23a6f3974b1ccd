"""What is computed: the works of a comparison, their inputs, and the reference answers."""
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Work:
    name: str
    family: str  # "distilbert" or "gpt2"
    phase: str  # "forward", "prefill" (the last position's logits alone) or "decode"
    batch: int
    seq: int  # of a decode: the prompt; 0: the sentences' own lengths
    new_tokens: int = 0
    formats: tuple = ("fp32",)
    whole_set: bool = False  # all of a data set, in batches: times are of one of its sentences


DISTILBERT, GPT2 = ("fp32", "bf16", "int8"), ("fp32", "bf16", "int8+head")  # GPT-2's rivals quantise embedding and head too

WORKS = [
    Work("distilbert-b32-s128", "distilbert", "forward", 32, 128, formats=DISTILBERT),
    Work("distilbert-b1-s128", "distilbert", "forward", 1, 128, formats=DISTILBERT),
    Work("sst2-dev", "distilbert", "forward", 32, 0, formats=DISTILBERT, whole_set=True),
    Work("gpt2-b1-s128", "gpt2", "forward", 1, 128, formats=GPT2),
    Work("gpt2-b1-s128-last", "gpt2", "prefill", 1, 128, formats=GPT2),
    Work("gpt2-decode", "gpt2", "decode", 1, 128, new_tokens=128, formats=(*GPT2[:2], "fp16", GPT2[2])),
]

FOLDERS = {"distilbert": "distilbert-sst2", "gpt2": "gpt2-small"}
TINY = {"distilbert": "tiny-distilbert", "gpt2": "tiny-gpt2"}

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


def not_run_here(work, format, native):
    """Why this processor has no row of a work in a format, or nothing. int8 has one everywhere: exact products need no VNNI, and a rival
    whose sums saturate is told by its answers. A decode reads weights more than it multiplies: there 16 bits are worth it as storage."""
    if format == "fp16":
        return None if "bf16" not in native else "bf16's row holds the 16-bit ways"
    if format == "bf16" and format not in native and work.phase != "decode":
        return "this processor does not multiply it natively"
    return None


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
