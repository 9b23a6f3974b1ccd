#!/usr/bin/env python3
"""Writes eaq/engine/testdata/generation.json: greedy continuations of models/tiny-gpt2 by Transformers' generate.

usage: make_generation_references.py [OUTPUT_FILE]

fp32 on the CPU from the stored fp16 weights, eager attention, its own KV cache, one prompt at a time, 32 new tokens each. The
prompts' lengths run from one token to as many as the context leaves room for. Each entry records how narrowly
the greedy choice was made; a prompt whose choice hangs on rounding is refused, as no other engine could be held to it.
"""
import argparse
import hashlib
import json
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer, GPT2LMHeadModel

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "tiny-gpt2"
NEW_TOKENS = 32
SMALLEST_MARGIN = 2e-3

WRITTEN = ["The", "In the", "The river flows through", "He was born in London , and in his youth he", "She said that the first album of the band was not as good as the second , because"]
FROM_TEXT = [(1000, 50), (5000, 128), (20000, 224)]  # first token and number of tokens in wiki.test.raw; 224 + 32 fill the context


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "eaq" / "engine" / "testdata" / "generation.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = GPT2LMHeadModel.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    text = (ROOT / "data" / "wikitext2" / "wiki.test.raw").read_bytes().decode("utf-8")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    prompts = [tokenizer(p, add_special_tokens=False)["input_ids"] for p in WRITTEN] + [ids[a:a + n] for a, n in FROM_TEXT]

    entries = []
    for prompt in prompts:
        given = torch.tensor([prompt])
        with torch.inference_mode():
            out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1,
                                 pad_token_id=tokenizer.eos_token_id, output_logits=True, return_dict_in_generate=True)
        new = out.sequences[0, len(prompt):].tolist()
        top = torch.cat(out.logits).topk(2).values
        margin = float((top[:, 0] - top[:, 1]).min())
        if len(new) != NEW_TOKENS or margin < SMALLEST_MARGIN:
            raise SystemExit(f"{tokenizer.decode(prompt)!r}: {len(new)} tokens, narrowest choice {margin:.2g}: take another prompt")
        entries.append({"prompt": prompt, "continuation": new, "narrowest_choice": round(margin, 5), "prompt_text": tokenizer.decode(prompt), "continuation_text": tokenizer.decode(new)})
        print(f"{len(prompt):4} tokens, narrowest choice {margin:.4f}: {tokenizer.decode(new)!r}")

    result = {"about": "Greedy continuations by Transformers, fp32 on the CPU; scripts/make_generation_references.py. narrowest_choice: smallest gap between the two largest logits.",
              "model": "tiny-gpt2", "model_sha256": hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest(), "transformers": transformers.__version__, "new_tokens": NEW_TOKENS}
    lines = ",\n".join("    " + json.dumps(entry) for entry in entries)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2)[:-2] + ',\n  "entries": [\n' + lines + "\n  ]\n}\n")


if __name__ == "__main__":
    main()
