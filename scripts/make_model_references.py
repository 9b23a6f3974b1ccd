#!/usr/bin/env python3
"""Writes eaq/model/testdata: tiny checkpoints with random weights, and what Transformers computes on them.

usage: make_model_references.py [OUTPUT_FOLDER]

Each case is a folder as users have it (config.json, safetensors) plus io.safetensors with the inputs and the
logits. The files are written here, tensor by tensor, not by save_pretrained: that one renames, drops and unties, and
some cases are about names, ties and buffers. Transformers then loads the folder as it would a user's, and its
eager attention computes in fp32 on the CPU. Everything is seeded by the case's name.
"""
import argparse
import json
import zlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, DistilBertConfig, DistilBertForSequenceClassification, GPT2Config, GPT2LMHeadModel

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 2_000_000

GPT2 = dict(vocab_size=61, n_positions=40, n_embd=18, n_head=3, n_layer=1, n_inner=38, bos_token_id=0, eos_token_id=0)
DISTILBERT = dict(vocab_size=61, max_position_embeddings=40, dim=18, n_heads=3, n_layers=1, hidden_dim=38, pad_token_id=0)


class Random:
    """Weights that hide nothing: biases and LayerNorm parameters far from 0 and 1, activations away from their linear part."""

    def __init__(self, name):
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, shape, std, mean=0.0):
        return torch.randn(shape, generator=self.generator) * std + mean

    def weight(self, name, tensor, embedding_std):
        leaf = name.rsplit(".", 1)[-1]
        norm = any(part in name for part in ("ln_", "LayerNorm", "layer_norm"))
        if leaf == "bias":
            return self.normal(tensor.shape, 0.3)
        if norm:
            return self.normal(tensor.shape, 0.3, mean=1.0)
        if any(part in name for part in ("wte", "wpe", "_embeddings")):
            return self.normal(tensor.shape, embedding_std)
        inputs = tensor.shape[0] if name.split(".")[-2].startswith("c_") else tensor.shape[1]
        return self.normal(tensor.shape, 1.5 / inputs**0.5)

    def ids(self, rows, columns, vocabulary):
        ids = torch.randint(0, vocabulary, (rows, columns), generator=self.generator)
        ids[0, 0], ids[-1, -1] = vocabulary - 1, 0
        return ids


def gpt2(name, *, rows=2, columns=13, mask=None, embedding_std=0.7, dtype=torch.float32, shards=1, edit=None, config=None, expected_unused=(), **settings):
    made = GPT2Config(**{**GPT2, **settings})
    return dict(name=name, kind=GPT2LMHeadModel, made=made, rows=rows, columns=columns, mask=mask, embedding_std=embedding_std,
                dtype=dtype, shards=shards, edit=edit, config=config, expected_unused=expected_unused)


def distilbert(name, *, labels=2, rows=3, columns=11, mask=None, embedding_std=0.7, dtype=torch.float32, shards=1, edit=None, **settings):
    made = DistilBertConfig(**{**DISTILBERT, **settings}, num_labels=labels)
    return dict(name=name, kind=DistilBertForSequenceClassification, made=made, rows=rows, columns=columns, mask=mask, embedding_std=embedding_std,
                dtype=dtype, shards=shards, edit=edit, config=None, expected_unused=())


# Edits: what a checkpoint's tensors are turned into before they are written.

def without(prefix):
    return lambda tensors, random: {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def as_public_gpt2(tensors, random):
    """The public GPT-2 has no prefix and keeps its causal masks as buffers; older files have masked_bias too."""
    tensors = without("transformer.")(tensors, random)
    context = GPT2["n_positions"]
    for layer in range(2):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(context, context).tril().view(1, 1, context, context)
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return tensors


def add_equal_head(tensors, random):
    return {**tensors, "lm_head.weight": tensors["transformer.wte.weight"].clone()}


def add_other_head(tensors, random):
    return {**tensors, "lm_head.weight": random.normal(tensors["transformer.wte.weight"].shape, 0.3)}


def head_only(tensors, random):
    tensors = dict(tensors)
    tensors["lm_head.weight"] = tensors.pop("transformer.wte.weight")
    return tensors


def drop_positions(tensors, random):
    return {name: tensor for name, tensor in tensors.items() if "position_embeddings" not in name}


# Masks: 1 is a token, 0 is padding.

def lengths(*real, left=False):
    def make(rows, columns):
        mask = torch.zeros(rows, columns, dtype=torch.int64)
        for row, length in zip(mask, real, strict=True):
            row[columns - length:] = 1 if left else 0
            if not left:
                row[:length] = 1
        return mask
    return make


def holes(*hidden):
    def make(rows, columns):
        mask = torch.ones(rows, columns, dtype=torch.int64)
        for row, places in zip(mask, hidden, strict=True):
            row[list(places)] = 0
        return mask
    return make


# The public GPT-2's own config.json, with small numbers: older keys, and none of the newer ones.
PUBLIC_GPT2 = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 0, "embd_pdrop": 0.1,
    "eos_token_id": 0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 40, "n_embd": 18, "n_head": 3,
    "n_layer": 2, "n_positions": 40, "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
    "summary_type": "cls_index", "summary_use_proj": True, "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 61}

CASES = [
    (gpt2("gpt2-odd-sizes", n_embd=48, n_inner=100, vocab_size=131, n_layer=2, rows=3, columns=17), "3 heads, width 48, MLP 100, odd vocabulary 131, 2 layers"),
    (gpt2("gpt2-default-inner", n_inner=None), "`n_inner` null: 4 x width"),
    (gpt2("gpt2-untied", tie_word_embeddings=False), "`tie_word_embeddings` false, own `lm_head.weight`"),
    (gpt2("gpt2-tied-equal-head", edit=add_equal_head), "tied, and the checkpoint stores the same matrix as `lm_head.weight` too"),
    (gpt2("gpt2-tied-other-head", edit=add_other_head), "configuration says tied, the stored `lm_head.weight` differs: the checkpoint wins, the head is not tied"),
    (gpt2("gpt2-head-only", edit=head_only), "tied, and only `lm_head.weight` is stored: the embedding is read from it"),
    (gpt2("gpt2-gelu-new", activation_function="gelu_new"), "`activation_function` gelu_new"),
    (gpt2("gpt2-gelu", activation_function="gelu"), "`activation_function` gelu (erf)"),
    (gpt2("gpt2-relu", activation_function="relu"), "`activation_function` relu"),
    (gpt2("gpt2-silu", activation_function="silu"), "`activation_function` silu"),
    (gpt2("gpt2-tanh", activation_function="tanh"), "`activation_function` tanh"),
    (gpt2("gpt2-gelu-fast", activation_function="gelu_fast"), "`activation_function` gelu_fast"),
    (gpt2("gpt2-gelu-pytorch-tanh", activation_function="gelu_pytorch_tanh"), "`activation_function` gelu_pytorch_tanh"),
    (gpt2("gpt2-quick-gelu", activation_function="quick_gelu"), "`activation_function` quick_gelu"),
    (gpt2("gpt2-epsilon", layer_norm_epsilon=1e-3, embedding_std=0.02), "`layer_norm_epsilon` 1e-3, with embeddings so small that it matters"),
    (gpt2("gpt2-inverse-layer", scale_attn_by_inverse_layer_idx=True, n_layer=3), "`scale_attn_by_inverse_layer_idx`, 3 layers"),
    (gpt2("gpt2-unscaled", scale_attn_weights=False), "`scale_attn_weights` false"),
    (gpt2("gpt2-unscaled-inverse", scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True, n_layer=2), "both of these"),
    (gpt2("gpt2-upcast", reorder_and_upcast_attn=True, n_layer=2), "`reorder_and_upcast_attn`"),
    (gpt2("gpt2-public-names", n_layer=2, n_inner=None, edit=as_public_gpt2, config=PUBLIC_GPT2, expected_unused=("attn.bias", "attn.masked_bias")),
     "names without `transformer.`, buffers `h.N.attn.bias` and `h.N.attn.masked_bias`, the public GPT-2's older configuration"),
    (gpt2("gpt2-padded", mask=lengths(12, 5, 1), rows=3, columns=12), "padded on the right to 12: lengths 12, 5, 1"),
    (gpt2("gpt2-left-padded", mask=lengths(12, 5, 1, left=True), rows=3, columns=12), "padded on the left; positions still count from the left edge"),
    (gpt2("gpt2-mask-holes", mask=holes((), (3, 4, 8)), columns=12), "a mask with holes"),
    (gpt2("gpt2-length-1", rows=3, columns=1), "one token"),
    (gpt2("gpt2-length-max", rows=1, columns=40), "as many tokens as there are positions"),
    (gpt2("gpt2-fp16", dtype=torch.float16, n_layer=2), "stored in fp16"),
    (gpt2("gpt2-bf16", dtype=torch.bfloat16, n_layer=2), "stored in bf16"),
    (gpt2("gpt2-sharded", shards=3, n_layer=2), "three shards and an index"),

    (distilbert("distilbert-odd-sizes", dim=36, hidden_dim=50, labels=5, n_layers=2, columns=13), "3 heads, width 36, FFN 50, 5 labels, 2 layers"),
    (distilbert("distilbert-sinusoidal", sinusoidal_pos_embds=True), "`sinusoidal_pos_embds`, the table stored"),
    (distilbert("distilbert-sinusoidal-absent", sinusoidal_pos_embds=True, edit=drop_positions), "`sinusoidal_pos_embds`, the table not stored: it is computed"),
    (distilbert("distilbert-relu", activation="relu"), "`activation` relu"),
    (distilbert("distilbert-gelu-new", activation="gelu_new"), "`activation` gelu_new"),
    (distilbert("distilbert-small-variance", embedding_std=1e-4), "embeddings so small that LayerNorm's epsilon of 1e-12 is told from 1e-5"),
    (distilbert("distilbert-labels-1", labels=1), "one label: a regression head"),
    (distilbert("distilbert-labels-3", labels=3), "three labels"),
    (distilbert("distilbert-no-prefix", edit=without("distilbert.")), "names without `distilbert.`"),
    (distilbert("distilbert-padded", mask=lengths(11, 4, 1)), "padded on the right: lengths 11, 4, 1"),
    (distilbert("distilbert-mask-holes", mask=holes((), (2, 3, 7), (0, 10))), "masks with holes, the first position among them"),
    (distilbert("distilbert-left-padded", mask=lengths(11, 4, 1, left=True)), "padded on the left: the classifier still reads position 0"),
    (distilbert("distilbert-length-1", columns=1), "one token"),
    (distilbert("distilbert-length-max", rows=1, columns=40), "as many tokens as there are positions"),
    (distilbert("distilbert-fp16", dtype=torch.float16, mask=lengths(11, 4, 1)), "stored in fp16, padded"),
    (distilbert("distilbert-bf16", dtype=torch.bfloat16, mask=lengths(11, 4, 1)), "stored in bf16, padded"),
    (distilbert("distilbert-sharded", shards=3, n_layers=2), "three shards and an index"),
]


def write_weights(folder, tensors, shards):
    tensors = {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard * len(names) // shards:(shard + 1) * len(names) // shards]
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_checkpoint(folder, case, random):
    torch.manual_seed(0)
    model = case["kind"](case["made"])
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not (name == "lm_head.weight" and case["made"].tie_word_embeddings)}
    sinusoidal = getattr(case["made"], "sinusoidal_pos_embds", False)
    tensors = {name: tensor if sinusoidal and "position_embeddings" in name else random.weight(name, tensor, case["embedding_std"]) for name, tensor in tensors.items()}
    tensors = {name: tensor.to(case["dtype"]) for name, tensor in tensors.items()}
    if case["edit"]:
        tensors = case["edit"](tensors, random)
    write_weights(folder, tensors, case["shards"])
    if case["config"]:
        (folder / "config.json").write_text(json.dumps(case["config"], indent=2) + "\n")
    else:
        config = model.config
        config.architectures = [case["kind"].__name__]
        config.dtype = case["dtype"]
        config.save_pretrained(folder)


def check_loaded(case, model, report):
    """A reference is worth something only if every weight in it came from the file."""
    allowed = {"distilbert.embeddings.position_embeddings.weight"} if case["edit"] is drop_positions else set()
    missing = set(report["missing_keys"]) - allowed
    unused = {name for name in report["unexpected_keys"] if not name.endswith(case["expected_unused"] or ("\0",))}
    if missing or unused or report["mismatched_keys"]:
        raise SystemExit(f"{case['name']}: missing {missing}, unused {unused}, mismatched {report['mismatched_keys']}")
    if any(p.dtype != torch.float32 for p in model.parameters()):
        raise SystemExit(f"{case['name']}: not computed in fp32")


def make(folder, case):
    random = Random(case["name"])
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    write_checkpoint(folder, case, random)
    model, report = case["kind"].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    check_loaded(case, model, report)
    config = AutoConfig.from_pretrained(folder)
    ids = random.ids(case["rows"], case["columns"], config.vocab_size)
    mask = case["mask"](case["rows"], case["columns"]) if case["mask"] else torch.ones_like(ids)
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids, attention_mask=mask).logits
    if not torch.isfinite(logits).all():
        raise SystemExit(f"{case['name']}: logits are not finite")
    save_file({"input_ids": ids, "attention_mask": mask, "logits": logits.contiguous()}, folder / "io.safetensors", metadata={"format": "pt"})
    return logits


README = """# Checkpoints and reference logits

Made by `scripts/make_model_references.py` with torch {torch} and Transformers {transformers}; do not edit by hand.
Each folder holds a checkpoint with random weights (`config.json`, `model.safetensors` or three shards with an index) and
`io.safetensors`:

| tensor | type | shape |
| --- | --- | --- |
| `input_ids` | int64 | [n, seq] |
| `attention_mask` | int64, 1 a token and 0 padding | [n, seq] |
| `logits` | f32 | GPT-2 [n, seq, vocabulary], DistilBERT [n, labels] |

Logits are Transformers' on the CPU in fp32 with eager attention; a 16-bit checkpoint is widened first, so they are those of the
stored values.

Where `attention_mask` is 0, GPT-2's row of logits is not an answer, and a test skips it. A query that sees no key at all (GPT-2, padding
on the left) gets the mean of **all** values from eager attention, later ones included: the mask is the lowest finite number, added to the
scores, and swallows them. Other attention kernels give other rows there; no visible token ever reads them.

| case | what is odd about it |
| --- | --- |
{rows}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "eaq" / "model" / "testdata")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for case, _ in CASES:
        logits = make(args.out / case["name"], case)
        print(f"{case['name']:32} {str(list(logits.shape)):16} max |logit| {logits.abs().max():.3f}")
    rows = "\n".join(f"| `{case['name']}` | {about} |" for case, about in CASES)
    (args.out / "README.md").write_text(README.format(torch=torch.__version__.split("+")[0], transformers=transformers.__version__, rows=rows))
    total = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    print(f"{len(CASES)} cases, {total} bytes")
    if total > LIMIT_BYTES:
        raise SystemExit(f"testdata is {total} bytes, more than {LIMIT_BYTES}")


if __name__ == "__main__":
    main()
