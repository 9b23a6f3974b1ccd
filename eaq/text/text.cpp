#include "eaq/text/text.h"

#include <algorithm>

#include "eaq/base/json.h"
#include "eaq/text/config.h"
#include "eaq/text/pipeline.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;

bool holds_all(const fs::path& dir, const TokenizerKind& kind) {
  return std::all_of(kind.vocabulary_files.begin(), kind.vocabulary_files.end(),
                     [&](std::string_view file) { return fs::exists(dir / file); });
}

std::string known_files() {
  std::string names = "tokenizer.json";
  for (const auto& row : tokenizer_kinds()) {
    if (row.entry == nullptr) continue;
    names += ", or ";
    for (std::size_t i = 0; i < row.entry->vocabulary_files.size(); ++i)
      (names += i > 0 ? " with " : "") += row.entry->vocabulary_files[i];
  }
  return names;
}

// What a configuration says explicitly outranks the sections, as Transformers has it.
void apply_config(Json& sections, const text::TokenizerConfig& config) {
  const auto set = [&](const char* part, const char* type, const char* option, const char* key) {
    const auto it = sections.find(part);
    if (it == sections.end() || !it->is_object() || !it->contains("type") || (*it)["type"] != type) return;
    if (const auto flag = config.flag(option)) (*it)[key] = *flag;
  };
  set("normalizer", "BertNormalizer", "do_lower_case", "lowercase");
  set("normalizer", "BertNormalizer", "tokenize_chinese_chars", "handle_chinese_chars");
  set("normalizer", "BertNormalizer", "strip_accents", "strip_accents");
  set("pre_tokenizer", "ByteLevel", "add_prefix_space", "add_prefix_space");
}

TokenizerDocument read_document(const fs::path& dir, const text::TokenizerConfig& config) {
  if (const fs::path file = dir / "tokenizer.json"; fs::exists(file))
    return {std::make_shared<Json>(read_json(file)), file.string()};
  for (const auto& row : tokenizer_kinds())
    if (row.entry != nullptr && holds_all(dir, *row.entry)) return row.entry->from_files(dir, config);
  throw Error(ErrorKind::input, printable(dir.string()) + ": no tokenizer: the folder has no " + known_files());
}

std::unique_ptr<Tokenizer> make(const TokenizerDocument& document, const text::TokenizerConfig& config) {
  if (!document.sections->is_object()) throw Error(ErrorKind::input, printable(document.name) + ": not a JSON object");
  apply_config(*document.sections, config);
  return std::make_unique<text::Pipeline>(document, config);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_dir) {
  const text::TokenizerConfig config(model_dir);
  return make(read_document(model_dir, config), config);
}

std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view tokenizer_json, std::string_view name) {
  return make({std::make_shared<Json>(parse_json(tokenizer_json, name)), std::string(name)}, {});
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<std::int32_t> ids;
  encode_into(text, options, ids);
  return ids;
}

std::vector<std::vector<std::int32_t>> Tokenizer::encode_batch(std::span<const std::string_view> texts,
                                                               const EncodeOptions& options) const {
  std::vector<std::vector<std::int32_t>> rows;
  rows.reserve(texts.size());
  for (const std::string_view text : texts) rows.push_back(encode(text, options));
  return rows;
}

std::vector<std::vector<std::int32_t>> Tokenizer::encode_batch(std::span<const std::string> texts,
                                                               const EncodeOptions& options) const {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  return encode_batch(views, options);
}

Padding Tokenizer::padding() const {
  return {.length = std::nullopt, .multiple_of = 1, .pad_id = pad_id().value_or(0), .side = padding_side()};
}

PaddedBatch pad(std::span<const std::vector<std::int32_t>> rows, const Padding& padding) {
  if (padding.multiple_of < 1 || padding.length.value_or(0) < 0)
    throw Error(ErrorKind::usage, "padding to a multiple of " + std::to_string(padding.multiple_of) + " and a length of " +
                                      std::to_string(padding.length.value_or(0)) +
                                      ": the first must be at least 1, the second 0");
  std::int64_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, static_cast<std::int64_t>(row.size()));
  std::int64_t length = std::max(longest, padding.length.value_or(0));
  length = (length + padding.multiple_of - 1) / padding.multiple_of * padding.multiple_of;
  PaddedBatch batch{.rows = static_cast<std::int64_t>(rows.size()), .length = length, .ids = {}, .attention_mask = {}};
  batch.ids.assign(static_cast<std::size_t>(batch.rows * length), padding.pad_id);
  batch.attention_mask.assign(batch.ids.size(), 0);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto room = static_cast<std::size_t>(length) - rows[r].size();
    const auto at = static_cast<std::ptrdiff_t>(r * static_cast<std::size_t>(length) + (padding.side == Side::left ? room : 0));
    std::copy(rows[r].begin(), rows[r].end(), batch.ids.begin() + at);
    std::fill_n(batch.attention_mask.begin() + at, rows[r].size(), std::uint8_t{1});
  }
  return batch;
}

}  // namespace eaq
