#include "eaq/text/bpe/bpe.h"

#include <algorithm>

#include "eaq/base/json.h"
#include "eaq/text/byte_level.h"
#include "eaq/text/config.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace text_bpe {
namespace {

using text::Scratch;

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::input, printable(file) + ": " + what);
}

std::size_t size_of_section(const Json& model, const char* key) { return model.contains(key) ? model[key].size() : 0; }

std::pair<std::string_view, std::string_view> halves(const Json& merge, const std::string& file, std::size_t rank) {
  const auto bad = [&](const std::string& what) { fail(file, "merge " + std::to_string(rank) + " " + what); };
  if (merge.is_array()) {
    if (merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) bad("is not a pair of tokens");
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  if (!merge.is_string()) bad("is neither \"a b\" nor [\"a\", \"b\"]");
  const std::string_view line = merge.get_ref<const std::string&>();
  const auto space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
    bad("('" + printable(line) + "') is not two tokens with a space between");
  return {line.substr(0, space), line.substr(space + 1)};
}

}  // namespace

BytePairModel::BytePairModel(const SubwordSource& source)
    : vocabulary_(size_of_section(source.model, "vocab"), source.name),
      prefix_(get_or<std::string>(source.model, "continuing_subword_prefix", source.name, "")),
      suffix_(get_or<std::string>(source.model, "end_of_word_suffix", source.name, "")),
      fuse_unknown_(get_or<bool>(source.model, "fuse_unk", source.name, false)),
      byte_fallback_(get_or<bool>(source.model, "byte_fallback", source.name, false)),
      ignore_merges_(get_or<bool>(source.model, "ignore_merges", source.name, false)),
      merges_(size_of_section(source.model, "merges")) {
  if (get_or<double>(source.model, "dropout", source.name, 0) != 0)
    fail(source.name, "the BPE model's 'dropout' (merges left out at random) is not supported");
  if (!source.model.contains("vocab") || !source.model["vocab"].is_object())
    fail(source.name, "the BPE model has no 'vocab' object");
  for (const auto& [token, id] : source.model["vocab"].items()) {
    if (!id.is_number_integer()) fail(source.name, "the id of '" + printable(token) + "' is not an integer");
    vocabulary_.add(token, id.get<std::int64_t>());
  }
  vocabulary_.finish();
  if (const auto unknown = get_or<std::string>(source.model, "unk_token", source.name, ""); !unknown.empty()) {
    const auto id = vocabulary_.id(unknown);
    if (!id) fail(source.name, "the unknown token '" + printable(unknown) + "' is not in the vocabulary");
    unknown_ = *id;
  }
  for (std::size_t b = 0; b < 256; ++b) {
    std::string token;
    text::append_utf8(text::byte_alphabet().code_points[b], token);
    byte_ids_[b] = vocabulary_.id(token).value_or(-1);
    constexpr std::string_view digits = "0123456789ABCDEF";
    fallback_ids_[b] = vocabulary_.id(std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">").value_or(-1);
  }
  merges_ = read_merges(source);
}

MergeTable BytePairModel::read_merges(const SubwordSource& source) const {
  if (!source.model.contains("merges") || !source.model["merges"].is_array())
    fail(source.name, "the BPE model has no 'merges' array");
  const Json& list = source.model["merges"];
  MergeTable table(list.size());
  std::uint32_t rank = 0;
  std::string joined;
  for (const Json& row : list) {
    if (row.is_string() && row.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = halves(row, source.name, rank);
    if (right.size() < prefix_.size())
      fail(source.name, "merge " + std::to_string(rank) + " is shorter than 'continuing_subword_prefix'");
    joined.assign(left).append(right.substr(prefix_.size()));
    const auto id_of = [&](std::string_view token) {
      const auto id = vocabulary_.id(token);
      if (!id)
        fail(source.name, "merge " + std::to_string(rank) + " has '" + printable(token) + "', which is not in the vocabulary");
      return *id;
    };
    const std::int32_t left_id = id_of(left), right_id = id_of(right);
    table.add(left_id, right_id, {rank, id_of(joined)});
    ++rank;
  }
  return table;
}

bool BytePairModel::take_bytes() {
  // Where pieces carry marks, words are taken apart by character; `ignore_merges` looks whole words up as they are written.
  bytes_ = prefix_.empty() && suffix_.empty() && !ignore_merges_ && unknown_ < 0 && !byte_fallback_;
  return bytes_;
}

void BytePairModel::split_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto whole = vocabulary_.id(word)) return ids.push_back(*whole);
  }
  scratch.symbols.clear();
  if (bytes_) {
    symbols_of_bytes(word, scratch);
  } else {
    symbols_of_characters(word, scratch);
  }
  merge_all(merges_, scratch);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
}

void BytePairModel::symbols_of_bytes(std::string_view word, Scratch& scratch) const {
  for (const char c : word) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) scratch.symbols.push_back(id);  // a byte without a token vanishes, as in the library
  }
}

void BytePairModel::symbols_of_characters(std::string_view word, Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  std::string piece;
  bool pending = false;  // an unknown token that the next unknown may join
  for (std::size_t at = 0; at < word.size();) {
    const auto length = text::code_point_at(word.data() + at).bytes;
    piece.clear();
    if (at > 0) piece += prefix_;
    piece += word.substr(at, length);
    at += length;
    if (at == word.size()) piece += suffix_;
    if (const auto id = vocabulary_.id(piece)) {
      if (pending) symbols.push_back(unknown_);
      pending = false;
      symbols.push_back(*id);
      continue;
    }
    // As the library has it, bytes stand before an unknown token that is still pending.
    if (byte_fallback_ && fall_back_to_bytes(piece, symbols)) continue;
    if (unknown_ < 0) continue;
    if (pending && !fuse_unknown_) symbols.push_back(unknown_);
    pending = true;
  }
  if (pending) symbols.push_back(unknown_);
}

bool BytePairModel::fall_back_to_bytes(std::string_view piece, std::vector<std::int32_t>& symbols) const {
  const auto id_of = [this](char c) { return fallback_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(piece.begin(), piece.end(), [&](char c) { return id_of(c) < 0; })) return false;
  for (const char c : piece) symbols.push_back(id_of(c));
  return true;
}

namespace {

std::unique_ptr<SubwordModel> from_json(const SubwordSource& source) { return std::make_unique<BytePairModel>(source); }

Json read_merge_lines(const std::filesystem::path& path) {
  const std::string file = read_text(path);
  if (!is_utf8(file)) fail(path.string(), "not valid UTF-8");
  Json merges = Json::array();
  for (std::string_view rest = file; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return merges;
}

TokenizerDocument from_files(const std::filesystem::path& dir, const text::TokenizerConfig& config) {
  static constexpr std::string_view as_gpt2 = R"({
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE"}})";
  Json sections = parse_json(as_gpt2, "GPT-2's tokenizer");
  sections["model"]["vocab"] = read_json(dir / "vocab.json");
  sections["model"]["merges"] = read_merge_lines(dir / "merges.txt");
  const std::string end_of_text = "<|endoftext|>";
  const auto token_if = [&](const char* option, const char* role) {
    return config.flag(option).value_or(false) ? config.token(role).value_or(end_of_text) : std::string();
  };
  const std::string before = token_if("add_bos_token", "bos"), behind = token_if("add_eos_token", "eos");
  if (!before.empty() || !behind.empty()) sections["post_processor"] = text::template_around(before, behind);
  const std::pair<std::string_view, std::string_view> roles[] = {
      {"bos", end_of_text}, {"eos", end_of_text}, {"unk", end_of_text}};
  text::add_special_tokens(sections, config, roles);
  return {std::make_shared<Json>(std::move(sections)), (dir / "vocab.json").string()};
}

}  // namespace

const TokenizerKind& entry() {
  static const TokenizerKind kind{.name = "bpe",
                                  .about = "byte-level byte pair encoding, as GPT-2 has it",
                                  .json_type = "BPE",
                                  .vocabulary_files = {"vocab.json", "merges.txt"},
                                  .from_json = from_json,
                                  .from_files = from_files};
  return kind;
}

}  // namespace text_bpe
}  // namespace eaq
