"""The answers that every contestant on a processor is held to: fp32, eager attention, in PyTorch."""
from dataclasses import replace

from works import ROOT, inputs_of

# A logit's relative error, max|a - b| / max|b|, above which an answer is wrong; of GPT-2's, whose logits are large and near to each other,
# also KL(fp32 || this) in nats a token. Rounding stays far below, saturated int8 far above. (GPT-2's own bound in fp32: llama.cpp reads its
# GELU from a table of 16-bit floats, which moves its logits by up to 1.2e-3 and its KL by 1e-7.)
WRONG_ABOVE = {"fp32": 1e-3, "bf16": 0.05, "fp16": 0.05, "int8": 0.3}
GPT2_WRONG_ABOVE = {**WRONG_ABOVE, "fp32": 3e-3}
KL_ABOVE = {"fp32": 1e-4, "bf16": 0.02, "fp16": 0.02, "int8": 0.5}
SENTENCES = 872


def base(format):
    """int8 of int8+head."""
    return format.partition("+")[0]


def batches_of(work, folder, padded=0):
    """A pass's batches in NumPy: one, or of the whole set sorted by length, each padded to its longest (or all to `padded`)."""
    if not work.whole_set:
        return [{name: tensor.numpy() for name, tensor in inputs_of(work, folder).items()}]
    import numpy
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    lines = (ROOT / "data" / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ids = sorted(tokenizer([line.split("\t")[1] for line in lines])["input_ids"], key=len)
    if len(ids) != SENTENCES:
        raise RuntimeError(f"data/sst2/dev.tsv has {len(ids)} sentences, expected {SENTENCES}")
    batches = []
    for first in range(0, len(ids), work.batch):
        some = ids[first:first + work.batch]
        width = padded or len(some[-1])
        batch = {"input_ids": numpy.full((len(some), width), tokenizer.pad_token_id or 0, dtype=numpy.int64), "attention_mask": numpy.zeros((len(some), width), dtype=numpy.int64)}
        for row, sentence in enumerate(some):
            batch["input_ids"][row, :len(sentence)] = sentence
            batch["attention_mask"][row, :len(sentence)] = 1
        batches.append(batch)
    return batches


class Reference:
    def __init__(self, work, folder, batches):
        import torch
        from transformers import DistilBertForSequenceClassification, GPT2LMHeadModel

        kind = GPT2LMHeadModel if work.family == "gpt2" else DistilBertForSequenceClassification
        self.work, self.torch = work, torch
        self.model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.logits = [self.run(**batch) for batch in batches] if work.phase != "decode" else None
        # For who takes padding for tokens, so that it computes all of a padded batch.
        self.unmasked = [self.run(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"] * 0 + 1) for batch in batches] if work.family == "distilbert" and work.seq else None
        self.prompt = batches[0]["input_ids"]

    def run(self, **inputs):
        with self.torch.inference_mode():
            logits = self.model(**{name: self.torch.from_numpy(array) for name, array in inputs.items()}).logits
        return logits[:, -1:] if self.work.phase == "prefill" else logits

    def difference(self, logits, expected):
        """(relative error, KL a token)"""
        torch = self.torch
        logits = torch.as_tensor(logits).float().reshape(expected.shape)
        if not logits.isfinite().all():
            return float("inf"), float("inf")
        p, q = expected.log_softmax(-1), logits.log_softmax(-1)
        return float((logits - expected).abs().max() / expected.abs().max()), max(0.0, float((p.exp() * (p - q)).sum(-1).mean()))

    def errors(self, answers, unmasked=False):
        """Of {"logits": one array a batch}, or of a decode {"tokens", "logits"}: a choice between near-equals may fall either way, so a
        decode is compared with one pass along the tokens that it chose."""
        if "tokens" in answers:
            tokens, logits = answers["tokens"], answers["logits"]
            found = [self.difference(logits, self.run(input_ids=tokens)[0, -len(logits) - 1:-1])]
        else:
            expected = self.unmasked if unmasked else self.logits
            found = [self.difference(logits, expected[index]) for index, logits in enumerate(answers["logits"]) if logits is not None]
        return {"relative_error": max(error for error, _ in found), "kl_per_answer": sum(kl for _, kl in found) / len(found)}


def verdict(errors, format, family):
    """Why answers are wrong, or nothing."""
    error, kl = errors["relative_error"], errors["kl_per_answer"]
    allowed = (GPT2_WRONG_ABOVE if family == "gpt2" else WRONG_ABOVE)[base(format)]
    if not error <= allowed:
        return f"wrong answers: relative error {error:.3g}, allowed {allowed:g}"
    if family == "gpt2" and not kl <= KL_ABOVE[base(format)]:
        return f"wrong answers: KL {kl:.3g} nats a token, allowed {KL_ABOVE[base(format)]:g}"
    return None


def as_decode(work):
    """The forward pass that a decode's steps must agree with."""
    return replace(work, phase="forward")
