#!/usr/bin/env python3
"""Trains models/tiny-distilbert: a small DistilBertForSequenceClassification, from random weights, on SST-2 train.

usage: train_tiny_distilbert.py TRAIN_TSV [--out models/tiny-distilbert] [--seed 1]

TRAIN_TSV is GLUE's SST-2 train.tsv (a header line, then label TAB phrase; SHA-256 below). It is not in this
repository. One CPU core needs eight minutes. The development set is not read: the held-out part of train
decides everything that is decided. Seeded; another processor may still round differently and end nearby.
"""
import argparse
import copy
import hashlib
import json
import math
import random
import time
from pathlib import Path

import numpy
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import DistilBertConfig, DistilBertForMaskedLM, DistilBertForSequenceClassification
from transformers import PreTrainedTokenizerFast

TRAIN_SHA256 = "6c1b403d638024cbaacb32005d89240310e9632dbd8c76300f1798a2c6065173"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = 6000
POSITIONS = 128
HELD_OUT = 1000

SHAPE = dict(vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, n_layers=3, n_heads=4, dim=128, hidden_dim=512,
             dropout=0.1, attention_dropout=0.1, seq_classif_dropout=0.3, pad_token_id=0)
LABEL_DROPOUT = 0.25  # labels are soon learned by heart, words are not


def read(path):
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != TRAIN_SHA256:
        raise SystemExit(f"{path}: SHA-256 is {found}, expected {TRAIN_SHA256}")
    rows = [line.split("\t") for line in data.decode("utf-8").splitlines()[1:]]
    return [(text.strip(), int(label)) for label, text in rows]


def spans(text):
    """Every run of whole words in a text, itself included."""
    words = text.split()
    return {" ".join(words[a:b]) for a in range(len(words)) for b in range(a + 1, len(words) + 1)}


def whole(rows):
    """The rows that lie inside no other row: SST-2 train lists a sentence's phrases as rows of their own."""
    inside = set()
    for text, _ in rows:
        inside |= spans(text) - {text}
    return [row for row in rows if row[0] not in inside]


def hold_out(rows, seed):
    """Splits whole sentences off. A row that lies inside one of them would give its answer away: it is dropped."""
    sentences = sorted({row for row in whole(rows) if len(row[0].split()) >= 5})
    held = random.Random(seed).sample(sentences, HELD_OUT)
    given_away = set().union(*(spans(text) for text, _ in held))
    return [row for row in rows if row[0] not in given_away], held


def make_tokenizer(texts):
    """BERT's lower-casing WordPiece, with a vocabulary of this corpus."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, min_frequency=2, special_tokens=SPECIAL, continuing_subword_prefix="##", show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    return tokenizer


def pad(sequences):
    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, :len(sequence)] = torch.tensor(sequence)
        mask[row, :len(sequence)] = 1
    return ids, mask


def batches(lengths, size, rng):
    """Batches of like lengths, in random order: little padding, and still a fresh mixture every epoch."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] + rng.random() * 4)
    groups = [order[i:i + size] for i in range(0, len(order), size)]
    rng.shuffle(groups)
    return groups


def optimizer_for(model, rate, decay):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98), fused=True)


def set_rate(optimizer, peak, step, steps):
    warm = max(1, steps // 20)
    rate = peak * (step + 1) / warm if step < warm else peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
    for group in optimizer.param_groups:
        group["lr"] = rate


def train_words(model, sequences, rng, epochs, rate=3e-3, size=64):
    """Masked language model, on whole sentences: their phrases would only repeat the same words."""
    model.train()
    optimizer = optimizer_for(model, rate, 0.01)
    lengths = [len(s) for s in sequences]
    steps = epochs * math.ceil(len(sequences) / size)
    step = 0
    for epoch in range(epochs):
        total = count = 0
        for group in batches(lengths, size, rng):
            ids, mask = pad([sequences[i] for i in group])
            chosen = (torch.rand(ids.shape) < 0.2) & (ids >= len(SPECIAL))
            if not chosen.any():
                continue
            labels = torch.where(chosen, ids, -100)
            dice = torch.rand(ids.shape)
            shown = torch.where(chosen & (dice < 0.8), SPECIAL.index("[MASK]"), ids)
            shown = torch.where(chosen & (dice >= 0.9), torch.randint(len(SPECIAL), VOCABULARY, ids.shape), shown)
            set_rate(optimizer, rate, step, steps)
            hidden = model.distilbert(input_ids=shown, attention_mask=mask).last_hidden_state[chosen]
            logits = model.vocab_projector(model.vocab_layer_norm(model.activation(model.vocab_transform(hidden))))
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * int(chosen.sum())
            count += int(chosen.sum())
            step += 1
        print(f"words: epoch {epoch + 1}/{epochs}, {len(sequences)} sentences, loss {total / count:.3f}", flush=True)


@torch.inference_mode()
def correct(model, sequences, labels):
    model.eval()
    hits = 0
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for a in range(0, len(order), 64):
        group = order[a:a + 64]
        ids, mask = pad([sequences[i] for i in group])
        guess = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
        hits += int((guess == torch.tensor([labels[i] for i in group])).sum())
    return hits


def train_labels(model, rows, held, rng, epochs, rate=7e-4, size=64, word_dropout=0.2):
    """Fine-tuning. What is kept is a running average of the weights: it forgets single batches. The epoch
    is chosen on the held-out sentences."""
    sequences, labels = rows
    optimizer = optimizer_for(model, rate, 0.05)
    lengths = [len(s) for s in sequences]
    steps = epochs * math.ceil(len(sequences) / size)
    average = copy.deepcopy(model)
    best, best_hits, step = None, -1, 0
    for epoch in range(epochs):
        model.train()
        total = count = 0
        for group in batches(lengths, size, rng):
            ids, mask = pad([sequences[i] for i in group])
            hidden = (torch.rand(ids.shape) < word_dropout) & (ids >= len(SPECIAL))
            ids = torch.where(hidden, SPECIAL.index("[MASK]"), ids)
            target = torch.tensor([labels[i] for i in group])
            set_rate(optimizer, rate, step, steps)
            loss = torch.nn.functional.cross_entropy(model(input_ids=ids, attention_mask=mask).logits, target, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            keep = min(0.998, step / (step + 10))
            with torch.no_grad():
                for a, p in zip(average.parameters(), model.parameters()):
                    a.lerp_(p, 1 - keep)
            total += loss.item() * len(group)
            count += len(group)
            step += 1
        hits = correct(average, *held)
        print(f"labels: epoch {epoch + 1}/{epochs}, loss {total / count:.3f}, held out {hits}/{len(held[0])} = {100 * hits / len(held[0]):.2f} %", flush=True)
        if hits > best_hits:
            best, best_hits = copy.deepcopy(average), hits
    return best, best_hits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "models" / "tiny-distilbert")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--word-epochs", type=int, default=30)
    parser.add_argument("--label-epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="sums then have one order; more threads end at other weights")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    numpy.random.seed(args.seed)
    rng = random.Random(args.seed)
    start = time.monotonic()

    rows = read(args.train)
    kept, held = hold_out(rows, args.seed)
    print(f"{len(rows)} rows; {len(held)} sentences held out; {len(rows) - len(kept)} rows that lie inside them dropped; {len(kept)} left", flush=True)
    tokenizer = make_tokenizer([text for text, _ in kept])
    encode = lambda some: ([e.ids[:POSITIONS] for e in tokenizer.encode_batch([t for t, _ in some])], [l for _, l in some])
    sentences, _ = encode(whole(kept))
    kept, held = encode(kept), encode(held)

    config = DistilBertConfig(**SHAPE, id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1})
    words = DistilBertForMaskedLM(config)
    train_words(words, sentences, rng, args.word_epochs)
    config.dropout = LABEL_DROPOUT
    model = DistilBertForSequenceClassification(config)
    model.distilbert.load_state_dict(words.distilbert.state_dict())
    model, hits = train_labels(model, kept, held, rng, args.label_epochs)

    model.config.dropout = 0.1  # as such models are saved: inference has none
    model = model.to(torch.float16)
    model.save_pretrained(args.out)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_max_length=POSITIONS).save_pretrained(args.out)
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (args.out / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in by_id), encoding="utf-8")
    # The class that users' code asks for by name; the saved one is the generic class, which loads only tokenizer.json.
    settings = {"do_lower_case": True, "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "[PAD]",
                "unk_token": "[UNK]", "model_max_length": POSITIONS, "tokenizer_class": "DistilBertTokenizer"}
    (args.out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    print(f"held out {hits}/{HELD_OUT} = {100 * hits / HELD_OUT:.2f} %, {time.monotonic() - start:.0f} s, written to {args.out}")


if __name__ == "__main__":
    main()
