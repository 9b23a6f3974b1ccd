#!/usr/bin/env python3
"""Writes eaq/text/testdata: a file of hard texts, and what Hugging Face `tokenizers` makes of it and of the data sets.

    scripts/make_tokenizer_references.py [--shared ../shared] [--check]

torture.txt          hard texts, one a line, ill-formed UTF-8 among them (the library is given Python's errors="replace" of it)
torture.MODEL.ids    the ids of each line, for the tokenizers in models/
variants.json        small tokenizers with every section that eaq supports, and hashes of the ids of torture.txt and their decoding
references.json      hashes of ids and of decoded texts: models/ over data/, and, where --shared has them, the full-size tokenizers

A hash is the SHA-256 over all texts of: the number of ids, then the ids (int32, little-endian); for decoded texts, the number of
bytes (int32), then the bytes. Needs `tokenizers` 0.23. With --check nothing is written: exit code 1 if anything would change.
"""

import argparse
import hashlib
import json
import random
import struct
import sys
import unicodedata
from pathlib import Path

import tokenizers

ROOT = Path(__file__).resolve().parent.parent
TESTDATA = ROOT / "eaq" / "text" / "testdata"


def encodable(code):
    return 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF and code not in (0x0A,)


def torture():
    """Lines of bytes. Fixed: the same on every run and machine (no table of Python's own Unicode version decides a byte)."""
    rng = random.Random(2024)
    t = []
    add = lambda *texts: t.extend(text.encode("utf-8") if isinstance(text, str) else text for text in texts)
    # Combining marks, composed and decomposed, in both orders, stacked, alone, on ASCII, behind removed characters.
    add("Café café CAFÉ naïve naïve Ångström Ångström", "ệ ệ ệ ệ", "Ǖ ǖ ǖ Ṩ ṩ ṩ", "a" + "\u0301" * 40 + "b", "\u0301start \u0323\u0301 alone")
    add("q\u0307\u0323 q\u0323\u0307 d\u0307\u0323x", "e\u200b\u0301 e\u00ad\u0301 e\u0001\u0301\u0002\u0323", "İstanbul I\u0307 ıI ſ K Å Ω ß ẞ ﬁ ﬃ ŉ ǰ")
    add("ΑΒΓ ΣΊΣΥΦΟΣ σς Σ", "가각힣 ᄀ\u1161\u11a8 \u1112\u1175\u11c2 한국어 문장입니다", "नमस्ते दुनिया क्षेत्र हिन्दी", "தமிழ் மொழி ಕನ್ನಡ తెలుగు മലയാളം සිංහල", "ภาษาไทย ກໍາ ລາວ ខ្មែរ မြန်မာ བོད་ཡིག")
    # CJK, with and without spaces and punctuation of both widths.
    add("我爱北京天安门。「引用」、『书』！？", "東京タワーは高いです。ﾊﾝｶｸ ﾀﾞﾁﾞ ガギグ", "㐀䶿 一鿿 豈龎 𠀀𪛟 𪜀𫜿 𫝀𫠟 𫠠𬺯 丽𪘀 〇々〆", "中a文b字1", "全角　ＡＢＣ１２３！")
    # Emoji: joiners, modifiers, flags, keycaps, variation selectors, tags.
    add("👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇩🇪🇫🇷 1️⃣ ❤️ ❤ ☺︎ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "😀😀😀a😀b 🙂.🙂,🙂", "👍🏿👍🏻 ✊🏾", "‍ ‌ ️ ⃣")
    # Control characters, every one of them, and bytes of NUL.
    add(b"".join(b"a" + bytes([c]) + b"b" for c in range(1, 32) if c != 10), b"nul\0in\0\0text\0", "".join(f"x{chr(c)}y" for c in range(0x7F, 0xA1)), "\ufeffBOM \ufffd \ufffc \ufff9a\ufffab\ufffb \u2066iso\u2069 \u061c\u200e\u200f")
    # Odd spaces: all of White_Space, in runs, at the ends, before every kind of character.
    spaces = "\t\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u180e\u200b\u2060\ufeff"
    add("".join(f"a{s}b{s}{s}c " for s in spaces), spaces, " ", "  ", "   leading", "trailing   ", "a  b   c    d", "\t\ttabs\t \t mixed \t", "x \r\r y\r", " \u00a0 \u00a0x", "1  2", "a \u3000 '")
    # Apostrophes and contractions, in each position and case.
    add("I'm you're he's we've they'll I'd don't 'tis 'Twas rock'n'roll", "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D", "''s '''ll 's's'll'll x'", "it’s ’s ‘quoted’ l'été", "'re're 'r 'v 'l ' s ' ll", "do not  n't n't . ' , ?")
    # Numbers and punctuation.
    add("3.14159 1,000,000 1e-10 0x1F ½ ² ₃ Ⅻ ① ٣ ५ 万 𝟘", "a1b2c3 123abc abc123 12ab34", "!?... --- *** ### @@@ $$$ %%% ^^^ &&& ((())) [[]] {{}} <<>> ~~ `` \\\\ // || ++ == __", "http://www.example.com/a?b=c&d=e#f user@example.com #tag C++ C# .NET", "“curly” «guillemets» –—‒ … ‰ † ‡ • ‣ ′ ″ ※ ⁂ ¡¿ § ¶ © ® ™ ° ± × ÷ € £ ¥ ¢ ₿", "= Robert Boulter =", "@-@ @,@ @.@ <unk> <unk>")
    # Right to left, mixed directions.
    add("שלום עולם שָׁלוֹם", "مرحبا بالعالم العَرَبِيَّة ١٢٣ ـــ لا", "اردو فارسی پښتو ئۇيغۇر", "abc \u202e fed \u202c ghi ‏rtl‏", "ܫܠܡܐ ދިވެހި ߒߞߏ")
    # Special tokens in the text, whole, broken, in other cases, nested and adjacent.
    add("[CLS] hello [SEP] world [PAD] [UNK] [MASK]", "[CLS][SEP][MASK][MASK]", "[cls] [Mask] [ MASK ] [MASK", "x[MASK]y [[MASK]] [SEP]. [SEP]'s", "<|endoftext|>", "a<|endoftext|>b <|endoftext|> <|endoftext|><|endoftext|>", "<|endoftext| <|ENDOFTEXT|> <<|endoftext|>>", "<s> </s> <pad> <mask> <unk>", "##ing ##s ##", "Ġthe Ċ Ġ ▁the")
    # Long words: over WordPiece's limit of 100 characters, at it, and runs that byte pair encoding must merge.
    add("a" * 99, "a" * 100, "a" * 101, "é" * 100 + " " + "é" * 101, "x" * 600 + " end", "ab" * 300, "0" * 500, "!" * 300, "=" * 129, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis", "thethethethethethethe" * 20, "我" * 120, "😀" * 40, " " * 200 + "x")
    add("".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(400)), "".join(rng.choice("etaoin shrdlu") for _ in range(800)))
    # Ill-formed UTF-8: lone and missing continuations, overlong forms, surrogates, past U+10FFFF, cut off at the end.
    add(b"bad \x80 \xbf\xbf \xc3 \xc3( \xe2\x82 \xe2( \xf0\x9f\x98 \xf0\x9f( end", b"over \xc0\xaf \xc1\x81 \xe0\x80\xaf \xf0\x80\x80\xaf", b"sur \xed\xa0\x80 \xed\xbf\xbf \xed\xa0\xbd\xed\xb8\x80", b"past \xf4\x90\x80\x80 \xf5\x80 \xfe \xff\xff", b"cut \xe4\xb8", b"cut \xf0\x9f\x98", b"\xff", b"caf\xe9 na\xefve latin-1", bytes(b for b in range(0x80, 0x100)), b"a\xe2\x82b\xe2\x82\xacc\xc3\xa9\xc3")
    t.extend(bytes(rng.choice([rng.randrange(11, 256), rng.randrange(32, 127), 0xC3, 0xA9, 0xE2]) for _ in range(90)) for _ in range(6))
    # Every block of the code space (128 code points each, private and unassigned ones thinned out), a few code points from each.
    blocks = [b for b in range(0x110000 // 128) if encodable(b * 128 + 1) and (b < 0x32000 // 128 or b % 331 == 0 or 0xE0000 // 128 <= b < 0xE0200 // 128)]
    blocks = [b for b in blocks if not (0x3500 <= b * 128 < 0x4D00 or 0x4F00 <= b * 128 < 0x9F00 or 0xAD00 <= b * 128 < 0xD700 or 0x17200 <= b * 128 < 0x18500 or 0x20100 <= b * 128 < 0x2A600 or 0x2A800 <= b * 128 < 0x31300) or b % 29 == 0]
    chars = [chr(b * 128 + k) for b in blocks for k in sorted(rng.sample(range(128), 6)) if encodable(b * 128 + k)]
    for i in range(0, len(chars), 48):
        row = chars[i : i + 48]
        t.append("".join(c + (" " if j % 6 == 5 else "x" if j % 6 == 2 else "") for j, c in enumerate(row)).encode("utf-8"))
    # All of Latin, Greek, Cyrillic, and what folds in odd ways.
    for start, end in ((0xA1, 0x180), (0x180, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530), (0x1E00, 0x1F00), (0x1F00, 0x2000), (0x2000, 0x2070), (0xA640, 0xA6A0), (0xA720, 0xA800), (0xFB00, 0xFB07), (0x1D400, 0x1D440), (0x10D50, 0x10D66)):
        t.append("".join(chr(c) + (" " if c % 7 == 0 else "") for c in range(start, end) if encodable(c)).encode("utf-8"))
    # The same text in four normal forms (of characters that Unicode 9 knew).
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        add(unicodedata.normalize(form, "Ệ ñandú Ａ ﬁn ² ½ Å ガ 가 ΐ ﷺ ℌ ⅷ ǅ ẛ\u0323 \u1e9b\u0323 \u2126"))
    add("")
    return b"\n".join(line.replace(b"\n", b" ") for line in t)


BYTES = {f"<0x{b:02X}>": b for b in range(256)}
# Every piece ends in </w>, and any text is its bytes: ids show the normalized text and where it was split.
GLASS = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": True, "ignore_merges": False, "vocab": BYTES, "merges": []}
BASE = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": None}
LETTERS = {t: i for i, t in enumerate(["[UNK]", "<unk>", "a", "b", "c", "e", "t", "h", "th", "the", "in", "i", "n", "##a", "##b", "##e", "##t", "##h", "##the", "##n", "1", "2", "12", "é", "##é", "Ġ", "Ġt", "Ġth", "Ġthe", "你", "##x", "x", "xx", ".", ",", "'", "s", "'s"])}
TEXT_BPE = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": LETTERS, "merges": ["t h", "th e", "i n", "1 2", "x x", "' s", "Ġ t"]}
WORDPIECE = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": LETTERS}


def token(content, **options):
    return {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **options}


def variants():
    bert = lambda **o: {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **o}
    split = lambda pattern, behavior, invert=False: {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    seq = lambda kind, *steps: {"type": "Sequence", kind: list(steps)}
    byte_level = lambda **o: {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **o}
    metaspace = lambda scheme, **o: {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True, **o}
    normalizers = {
        "clean_text": bert(clean_text=True), "chinese": bert(handle_chinese_chars=True), "strip_accents": bert(strip_accents=True), "lowercase": bert(lowercase=True),
        "lowercase strips": bert(lowercase=True, strip_accents=None), "cased": bert(clean_text=True, handle_chinese_chars=True, strip_accents=None), "uncased": bert(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
        **{n: {"type": n} for n in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "ByteLevel")},
        "Strip left": {"type": "Strip", "strip_left": True, "strip_right": False}, "Strip": {"type": "Strip", "strip_left": True, "strip_right": True},
        "Replace": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "Replace regex": {"type": "Replace", "pattern": {"Regex": r"\s+|\d{2}"}, "content": "<>"},
        "Prepend": {"type": "Prepend", "prepend": "▁"},
        "Sequence": seq("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": False, "strip_right": True}),
    }
    pre_tokenizers = {
        **{n: {"type": n} for n in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation")},
        "Punctuation previous": {"type": "Punctuation", "behavior": "MergedWithPrevious"}, "Punctuation next": {"type": "Punctuation", "behavior": "MergedWithNext"},
        "Punctuation contiguous": {"type": "Punctuation", "behavior": "Contiguous"}, "Punctuation removed": {"type": "Punctuation", "behavior": "Removed"},
        "Digits": {"type": "Digits", "individual_digits": False}, "Digits single": {"type": "Digits", "individual_digits": True},
        "ByteLevel": byte_level(), "ByteLevel prefix": byte_level(add_prefix_space=True), "ByteLevel whole": byte_level(use_regex=False),
        "Split string": split({"String": "a"}, "Isolated"), "Split previous": split({"String": " "}, "MergedWithPrevious"), "Split inverted": split({"Regex": r"[A-Za-z]+|[0-9]{1,3}|[^A-Za-z0-9\s]+"}, "Removed", True),
        "CharDelimiterSplit": {"type": "CharDelimiterSplit", "delimiter": "e"}, "Metaspace": metaspace("always"), "Metaspace never": metaspace("never"), "Metaspace whole": metaspace("always", split=False),
        "Sequence": seq("pretokenizers", {"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": True}, {"type": "Punctuation"}),
        "Sequence to bytes": seq("pretokenizers", split({"Regex": r" ?[^\s]+|\s+"}, "Isolated"), byte_level(use_regex=False)),
        "Sequence from bytes": seq("pretokenizers", byte_level(), {"type": "Digits", "individual_digits": True}),
    }
    # No \p{L} or \w in the expressions: the test would depend on the Unicode version of its ICU.
    made = [{"name": f"normalizer {n}", "normalizer": s, "model": "glass"} for n, s in normalizers.items()]
    made += [{"name": f"pre-tokenizer {n}", "pre_tokenizer": s, "model": "glass"} for n, s in pre_tokenizers.items()]
    made += [
        {"name": "BERT in steps", "normalizer": bert(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True), "pre_tokenizer": {"type": "BertPreTokenizer"}, "added_tokens": [token("the", normalized=True, special=False)], "model": "glass"},
        {"name": "BERT at once", "normalizer": bert(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True), "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": "glass"},
        {"name": "BERT at once, dirty", "normalizer": bert(handle_chinese_chars=True, strip_accents=True), "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": "glass"},
        {"name": "WordPiece", "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": "wordpiece", "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}},
        {"name": "WordPiece, short words", "pre_tokenizer": {"type": "Whitespace"}, "model": "wordpiece", "model_options": {"max_input_chars_per_word": 3}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}},
        {"name": "WordPiece, no prefix", "pre_tokenizer": {"type": "Whitespace"}, "model": "wordpiece", "model_options": {"continuing_subword_prefix": ""}},
        {"name": "BPE", "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": "text"},
        {"name": "BPE, whole text", "model": "text"},
        {"name": "BPE, unknowns fused", "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": "text", "model_options": {"fuse_unk": True}},
        {"name": "BPE, unknowns dropped", "pre_tokenizer": byte_level(), "model": "text", "model_options": {"unk_token": None}, "decoder": byte_level()},
        {"name": "BPE, merges ignored", "pre_tokenizer": byte_level(add_prefix_space=True), "model": "text", "model_options": {"ignore_merges": True}, "decoder": byte_level()},
        {"name": "BPE, prefix", "pre_tokenizer": {"type": "Whitespace"}, "model": "text", "model_options": {"continuing_subword_prefix": "##", "merges": [["t", "##h"], ["th", "##e"]]}},
        {"name": "BPE, bytes and unknown", "pre_tokenizer": {"type": "Whitespace"}, "model": "glass", "model_options": {"end_of_word_suffix": None, "unk_token": "<unk>", "vocab": {**{t: i for t, i in BYTES.items() if i % 3}, "<unk>": 0, "a": 300, "b": 303, "ab": 306}, "merges": [["a", "b"]]}},
        {"name": "added tokens", "model": "glass", "pre_tokenizer": {"type": "WhitespaceSplit"}, "normalizer": bert(lowercase=True), "added_tokens": [token("[MASK]", lstrip=True), token("[SEP]", rstrip=True), token("[CLS]", lstrip=True, rstrip=True), token("the", single_word=True, special=False), token("thethe", special=False), token("CAFÉ", normalized=True, special=False), token("n", single_word=True, normalized=True, special=False), token("<|endoftext|>", normalized=True), token(" x", special=False), token("<0x41>"), token("ab")], "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 7], "cls": ["[CLS]", 9]}},
        {"name": "template", "model": "text", "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"A": {"id": "A", "ids": [1, 2], "tokens": ["a", "b"]}, "B": {"id": "B", "ids": [3], "tokens": ["c"]}}}},
        {"name": "roberta", "model": "text", "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}},
        {"name": "processors", "model": "text", "post_processor": {"type": "Sequence", "processors": [byte_level(), {"type": "BertProcessing", "sep": ["a", 2], "cls": ["b", 3]}]}},
        {"name": "decoders", "model": "glass", "normalizer": seq("normalizers", {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}), "model_options": {"end_of_word_suffix": None}, "decoder": seq("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})},
        {"name": "decoder BPEDecoder", "pre_tokenizer": {"type": "Whitespace"}, "model": "text", "model_options": {"end_of_word_suffix": "e"}, "decoder": {"type": "BPEDecoder", "suffix": "e"}},
        {"name": "decoder Metaspace", "pre_tokenizer": metaspace("always"), "model": "text", "model_options": {"vocab": {**LETTERS, "▁": 90}}, "decoder": metaspace("always")},
    ]
    return made


def complete(variant):
    """The tokenizer.json of a variant. The test builds it in the same way."""
    whole = {**BASE, **{k: v for k, v in variant.items() if k in BASE and k != "model"}}
    whole["model"] = {**{"glass": GLASS, "text": TEXT_BPE, "wordpiece": WORDPIECE}[variant["model"]], **variant.get("model_options", {})}
    return whole


class Hash:
    def __init__(self):
        self.sha = hashlib.sha256()

    def ids(self, ids):
        self.sha.update(struct.pack(f"<{len(ids) + 1}i", len(ids), *ids))

    def text(self, text):
        data = text.encode("utf-8")
        self.sha.update(struct.pack("<i", len(data)) + data)

    def __str__(self):
        return self.sha.hexdigest()


def hashes(tokenizer, texts):
    ids, decoded, plain = Hash(), Hash(), Hash()
    for text in texts:
        row = tokenizer.encode(text).ids
        ids.ids(row)
        decoded.text(tokenizer.decode(row, skip_special_tokens=False))
        plain.text(tokenizer.decode(row, skip_special_tokens=True))
    return {"texts": len(texts), "ids": str(ids), "decoded": str(decoded), "decoded_without_special": str(plain)}


def data_sets(data):
    sets = {}
    wiki, sst2 = data / "wikitext2" / "wiki.test.raw", data / "sst2"
    if wiki.exists():
        text = wiki.read_bytes().decode("utf-8")
        sets["wikitext2 lines"], sets["wikitext2 whole"] = text.split("\n"), [text]
    for part in ("dev", "train"):
        if (sst2 / f"{part}.tsv").exists():
            rows = (sst2 / f"{part}.tsv").read_bytes().decode("utf-8").split("\n")
            sets[f"sst2 {part}"] = [row.split("\t")[1] for row in rows[1:] if row]
    return sets


def references(root, data, lines):
    found = {}
    for folder in sorted(f.parent for f in root.glob("*/tokenizer.json")):
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        found[folder.name] = {name: hashes(tokenizer, texts) for name, texts in {"torture": lines, **data_sets(data)}.items()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    files = {"torture.txt": torture()}
    lines = [line.decode("utf-8", "replace") for line in files["torture.txt"].split(b"\n")]
    for folder in sorted(f.parent for f in (ROOT / "models").glob("*/tokenizer.json")):
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        rows = [" ".join(map(str, tokenizer.encode(line).ids)) for line in lines]
        files[f"torture.{folder.name}.ids"] = ("\n".join(rows) + "\n").encode()
    rows = []
    for variant in variants():
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(complete(variant)))
        rows.append({**variant, "expected": hashes(tokenizer, lines)})
    whole = {"base": BASE, "models": {"glass": GLASS, "text": TEXT_BPE, "wordpiece": WORDPIECE}, "variants": rows}
    files["variants.json"] = (json.dumps(whole, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n").encode()
    found = {"tokenizers": tokenizers.__version__, "models": references(ROOT / "models", ROOT / "data", lines)}
    if (options.shared / "models").exists():
        found["shared"] = references(options.shared / "models", options.shared / "data", lines)
    files["references.json"] = (json.dumps(found, indent=1) + "\n").encode()
    stale = [name for name, data in files.items() if not (TESTDATA / name).exists() or (TESTDATA / name).read_bytes() != data]
    if options.check:
        sys.exit(f"differ from tokenizers {tokenizers.__version__}: {', '.join(stale)}" if stale else 0)
    TESTDATA.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (TESTDATA / name).write_bytes(files[name])
        print(f"{name}: {len(files[name])} bytes")


if __name__ == "__main__":
    main()
