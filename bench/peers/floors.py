"""What a processor needs at least for a cell's work: operations over the rate that products reach, or for one row the weights' bytes
over what the memory gives."""

# The two architectures: layers of width 768 with an inner 3072; GPT-2's head has 50257 rows.
WIDTH, INNER, VOCABULARY = 768, 3072, 50257
LAYER = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER
LAYERS = {"distilbert": 6, "gpt2": 12}
SST2_SENTENCES, SST2_TOKENS = 872, 21943  # as DistilBERT's tokenizer cuts the dev set, [CLS] and [SEP] included
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "int8+head": 1}


def operations(work, spares=True):
    """Multiplications and additions of products and attention in what the cell's `ms` is of; None for what memory bounds. Where one token of
    a sequence is asked for (a classifier's first, a model's last logits), the last layer owes it the keys and values of all tokens and nothing
    else of the others; `spares` False counts that layer whole, as most engines run it."""
    family = "gpt2" if work.startswith("gpt2") else "distilbert"

    def of(sequences, length, head_rows, asked_for):
        tokens = sequences * length
        attention = 4 * length * WIDTH / (2 if family == "gpt2" else 1)  # of a token; causal: half of the keys
        layer = tokens * (2 * LAYER + attention)
        last = tokens * 4 * WIDTH * WIDTH + sequences * (2 * (LAYER - 2 * WIDTH * WIDTH) + 4 * length * WIDTH) if asked_for == "one" and spares else layer
        return (LAYERS[family] - 1) * layer + last + 2 * WIDTH * VOCABULARY * head_rows

    return {"distilbert-b32-s128": lambda: of(32, 128, 0, "one"), "distilbert-b1-s128": lambda: of(1, 128, 0, "one"),
            "sst2-dev": lambda: of(1, SST2_TOKENS / SST2_SENTENCES, 0, "one"),
            "gpt2-b1-s128": lambda: of(1, 128, 128, "all"), "gpt2-b1-s128-last": lambda: of(1, 128, 1, "one"), "gpt2-decode": lambda: None}[work]()


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
