// Arbitrary bytes as text through both kinds of tokenizer, and as a tokenizer.json. The first byte chooses.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "eaq/text/text.h"

namespace {

const char* const uncased_wordpiece = R"({"added_tokens": [
  {"id": 0, "content": "[MASK]", "special": true, "single_word": false, "lstrip": true, "rstrip": false, "normalized": false},
  {"id": 1, "content": "[SEP]", "special": true, "single_word": true, "lstrip": false, "rstrip": true, "normalized": false}],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20,
    "vocab": {"[UNK]": 0, "a": 1, "b": 2, "##a": 3, "##b": 4, "the": 5, "##the": 6, ".": 7, "caf": 8, "##e": 9, "i": 10, "##n": 11, "\u4f60": 12}}})";

// Every byte has a token, so that decoding must give the text back.
std::string byte_level() {
  std::string vocab, separator;
  for (int b = 0, other = 256; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    char escaped[16];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", printable ? b : other++);
    vocab += separator + '"' + escaped + "\": " + std::to_string(b);
    separator = ", ";
  }
  return R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {)" +
         vocab + R"(, "th": 300, "the": 301, "\u0120the": 302, "aa": 303, "aaaa": 304},
    "merges": ["t h", "th e", "\u0120 the", "a a", "aa aa"]}})";
}

std::unique_ptr<eaq::Tokenizer> load(std::string_view json) { return eaq::parse_tokenizer(json, "tokenizer.json"); }

void require(bool holds) {
  if (!holds) std::abort();
}

void encode(const eaq::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  require(ids == tokenizer.encode(text));  // now from the cache
  for (const std::int32_t id : ids) require(tokenizer.id_to_token(id).has_value());
  require(eaq::is_utf8(tokenizer.decode(ids)));
  const auto cut = tokenizer.encode(text, {.add_special_tokens = false, .max_length = 3});
  require(cut.size() <= 3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto wordpiece = load(uncased_wordpiece), bpe = load(byte_level());
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    encode(*wordpiece, rest);
    encode(*bpe, rest);
    if (eaq::is_utf8(rest)) require(bpe->decode(bpe->encode(rest)) == rest);
    return 0;
  }
  try {
    const auto tokenizer = load(rest);
    tokenizer->decode(
        tokenizer->encode("The caf\u00e9 [MASK] the\xff\xe4\xbd\xa0 aaaaaaa 12 \U0001f600.", {.add_special_tokens = false}));
    for (std::int32_t id = 0; id < 8; ++id) tokenizer->decode(std::vector<std::int32_t>{id, id});
  } catch (const eaq::Error& error) {
    require(error.kind() == eaq::ErrorKind::input);
  }
  return 0;
}
