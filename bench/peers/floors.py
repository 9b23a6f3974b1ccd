"""What a processor needs at least for a cell's work: operations over the rate that products reach, or for one row the weights' bytes
over what the memory gives."""

# The two architectures: layers of width 768 with an inner 3072; GPT-2's head has 50257 rows.
WIDTH, INNER, VOCABULARY = 768, 3072, 50257
LAYER = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER
LAYERS = {"distilbert": 6, "gpt2": 12}
SST2_SENTENCES, SST2_TOKENS = 872, 21943  # as DistilBERT's tokenizer cuts the dev set, [CLS] and [SEP] included
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "int8+head": 1}


def operations(work):
    """Multiplications and additions of products and attention in what the cell's `ms` is of; None for what memory bounds."""
    family = "gpt2" if work.startswith("gpt2") else "distilbert"

    def of(tokens, keys, head_rows):
        attention = 4 * keys * WIDTH * LAYERS[family] * tokens / (2 if family == "gpt2" else 1)  # causal: half of the keys
        return 2 * LAYERS[family] * LAYER * tokens + attention + 2 * WIDTH * VOCABULARY * head_rows

    return {"distilbert-b32-s128": lambda: of(32 * 128, 128, 0), "distilbert-b1-s128": lambda: of(128, 128, 0),
            "sst2-dev": lambda: of(SST2_TOKENS / SST2_SENTENCES, SST2_TOKENS / SST2_SENTENCES, 0),
            "gpt2-b1-s128": lambda: of(128, 128, 128), "gpt2-b1-s128-last": lambda: of(128, 128, 1), "gpt2-decode": lambda: None}[work]()


def bounding_rate(work, format):
    """The rate that bounds a cell, as rates-cpu-*.json names it."""
    if operations(work) is None:
        return "read_GBps"
    kind = {"int8+head": "int8", "fp16": "fp32"}.get(format, format)
    return f"{kind}_GFLOPs"


def floor_ms(work, format, rate):
    """At a rate in billions a second: of operations, or of bytes."""
    count = operations(work)
    if count is None:
        count = (LAYERS["gpt2"] * LAYER + VOCABULARY * WIDTH) * BYTES[format]
    return count / (rate * 1e9) * 1e3
