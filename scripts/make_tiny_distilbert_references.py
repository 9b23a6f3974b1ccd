#!/usr/bin/env python3
"""Writes models/tiny-distilbert/reference_logits.safetensors, and prints the model's accuracy on SST-2 dev.

usage: make_tiny_distilbert_references.py [MODEL_FOLDER]

By Transformers, on the CPU, in fp32 from the stored fp16 weights, with eager attention. `input_ids`, `attention_mask` and `logits` are the
first 16 dev sentences padded together; `logits_all_872` and `labels_all_872` are all of them, one at a time, so that no padding plays a part.
"""
import argparse
import hashlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoTokenizer, DistilBertForSequenceClassification

ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=ROOT / "models" / "tiny-distilbert")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    rows = [line.split("\t") for line in (ROOT / "data" / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    labels = torch.tensor([int(label) for label, _ in rows])
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DistilBertForSequenceClassification.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager").eval()
    encode = lambda texts: tokenizer(texts, padding=True, truncation=True, max_length=model.config.max_position_embeddings, return_tensors="pt")

    with torch.inference_mode():
        first = encode([text for _, text in rows[:16]])
        first = {"input_ids": first["input_ids"], "attention_mask": first["attention_mask"]}
        together = model(**first).logits
        alone = torch.cat([model(**{k: v for k, v in encode([text]).items() if k in first}).logits for _, text in rows])
    save_file({**first, "logits": together, f"logits_all_{len(rows)}": alone, f"labels_all_{len(rows)}": labels}, args.model / "reference_logits.safetensors")

    correct = int((alone.argmax(-1) == labels).sum())
    print(f"parameters {sum(p.numel() for p in model.parameters())}, model.safetensors SHA-256 {hashlib.sha256((args.model / 'model.safetensors').read_bytes()).hexdigest()}")
    print(f"SST-2 dev: {correct} of {len(rows)} = {100 * correct / len(rows):.2f} %; padded against alone: {(together - alone[:16]).abs().max():.1e}; narrowest {(alone[:, 0] - alone[:, 1]).abs().min():.1e}")


if __name__ == "__main__":
    main()
