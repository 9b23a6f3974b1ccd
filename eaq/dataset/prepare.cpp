// From files to tokens, through the cache.
#include <algorithm>

#include "eaq/dataset/cache.h"
#include "eaq/dataset/rows.h"
#include "eaq/text/text.h"

namespace eaq {
namespace {

// A device or a pipe may never end, and what is kept of a set needs its bytes twice.
void require_regular(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) && !std::filesystem::is_directory(status))
    throw Error(ErrorKind::input, printable(file.string()) + ": not a regular file");
}

using dataset::Arrays;
using dataset::CacheEntry;
using dataset::Dependencies;

// What the tokenizer makes of it stands in the manifest: a cache must not outlive a change in the tokenizer's code, which its
// files' hash does not show.
constexpr std::string_view probe =
    "The Quick brown fox, it's 1,234.5 km/h; don't \"we\" 'll?  two  spaces\ttab\n\nnew lines @-@ na\u00EFve cafe\u0301 "
    "\u00C5ngstr\u00F6m "
    "\u4E2D\u6587\u5B57 \u65E5\u672C\u8A9E \uD55C\uAD6D\uC5B4 \u0420\u0443\u0441\u0441\u043A\u0438\u0439 "
    "\u05E2\u05D1\u05E8\u05D9\u05EA "
    "\U0001F469\u200D\U0001F680 \u00BD \u2014 \uFB01 \u0130 \u1E9E\u00DF [SEP] <|endoftext|> supercalifragilistic\u00A0x\u200By "
    "\xFF end";

std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  tokenizer.encode_into(text, {}, ids);
  return ids;
}

Dependencies common_dependencies(const DataSource& source, const Tokenizer& tokenizer) {
  const auto ids = encode(tokenizer, probe);
  return {{"eaq", std::string(version())},
          {"source", source.hash},
          {"tokenizer", source.tokenizer},
          {"tokenizer's kind", std::string(tokenizer.kind())},
          {"tokenizer's code", "sha256:" + sha256(std::as_bytes(std::span(ids)))}};
}

DataSource source_of(const std::filesystem::path& file, const std::string& name, const std::string& content,
                     const DataCache& cache) {
  DataSource source;
  source.name = name.empty() ? printable(file.filename().string()) : name;
  source.file = file;
  source.hash = "sha256:" + sha256(content);
  source.tokenizer = cache.tokenizer;
  return source;
}

// One entry per file, tokenizer and set of options; a file that changes replaces its entry.
std::string stem_of(const DataSource& source, const Dependencies& options) {
  std::error_code error;
  std::string key = std::filesystem::absolute(source.file, error).string() + '\n' + source.tokenizer;
  for (const auto& [name, value] : options) key += '\n' + name + '=' + value;
  return source.name.substr(0, 40) + "-" + sha256(key).substr(0, 16);
}

Sentences tokenise(const std::filesystem::path& file, const std::string& content, const Tokenizer& tokenizer,
                   const SentenceOptions& options) {
  Sentences out;
  out.begin.push_back(0);
  for (const auto& row : dataset::read_labelled(file, content, options)) {
    const std::size_t before = out.ids.size();
    tokenizer.encode_into(row.text, {.max_length = options.max_length}, out.ids);
    const std::size_t length = out.ids.size() - before;
    if (length == 0) dataset::fail(file, "line " + std::to_string(row.line) + " gives no token");
    if (length == static_cast<std::size_t>(options.max_length) && encode(tokenizer, row.text).size() > length) ++out.truncated;
    out.begin.push_back(static_cast<std::int64_t>(out.ids.size()));
    out.labels.push_back(row.label);
  }
  return out;
}

// An entry that passed its hash is what was written; what is checked here keeps a forged one from being read out of bounds.
bool fill_from(const Arrays& arrays, const SentenceOptions& options, Sentences& out) {
  const auto ids = arrays.narrow.find("ids"), labels = arrays.narrow.find("labels");
  const auto begin = arrays.wide.find("begin"), truncated = arrays.wide.find("truncated");
  if (ids == arrays.narrow.end() || labels == arrays.narrow.end() || begin == arrays.wide.end() || truncated == arrays.wide.end())
    return false;
  const auto& offsets = begin->second;
  const bool sound = !labels->second.empty() && offsets.size() == labels->second.size() + 1 && offsets.front() == 0 &&
                     offsets.back() == static_cast<std::int64_t>(ids->second.size()) && truncated->second.size() == 1 &&
                     std::is_sorted(offsets.begin(), offsets.end()) &&
                     std::all_of(labels->second.begin(), labels->second.end(),
                                 [&](std::int32_t label) { return label >= 0 && label < options.label_count; });
  if (!sound) return false;
  out.ids = ids->second;
  out.labels = labels->second;
  out.begin = offsets;
  out.truncated = truncated->second.front();
  return true;
}

void keep_first(Sentences& sentences, std::int64_t limit) {
  if (limit <= 0 || limit >= static_cast<std::int64_t>(sentences.size())) return;
  sentences.labels.resize(static_cast<std::size_t>(limit));
  sentences.begin.resize(static_cast<std::size_t>(limit) + 1);
  sentences.ids.resize(static_cast<std::size_t>(sentences.begin.back()));
}

}  // namespace

Sentences prepare_sentences(const std::filesystem::path& file, const Tokenizer& tokenizer, const SentenceOptions& options,
                            const DataCache& cache) {
  require_regular(file);
  const std::string content = read_text(file);
  DataSource source = source_of(file, options.name, content, cache);
  const Dependencies chosen{{"kind", "sentences"},
                            {"text field", options.text_field},
                            {"label field", options.label_field},
                            {"label count", std::to_string(options.label_count)},
                            {"max length", std::to_string(options.max_length)}};
  Dependencies all = common_dependencies(source, tokenizer);
  all.insert(chosen.begin(), chosen.end());
  CacheEntry entry(cache, stem_of(source, chosen), all);
  Sentences out;
  if (const auto arrays = entry.load(); arrays && fill_from(*arrays, options, out)) {
    source.reused = true;
  } else {
    out = tokenise(file, content, tokenizer, options);
    entry.store(
        {.narrow = {{"ids", out.ids}, {"labels", out.labels}}, .wide = {{"begin", out.begin}, {"truncated", {out.truncated}}}});
  }
  source.note = entry.note();
  out.source = std::move(source);
  keep_first(out, options.limit);
  return out;
}

TokenStream prepare_tokens(const std::filesystem::path& file, const Tokenizer& tokenizer, const TextOptions& options,
                           const DataCache& cache) {
  require_regular(file);
  std::string content = read_text(file);
  DataSource source = source_of(file, options.name, content, cache);
  const Dependencies chosen{
      {"kind", "tokens"}, {"join", options.join == Join::raw ? "raw" : "hf"}, {"text field", options.text_field}};
  Dependencies all = common_dependencies(source, tokenizer);
  all.insert(chosen.begin(), chosen.end());
  CacheEntry entry(cache, stem_of(source, chosen), all);
  TokenStream out;
  const auto arrays = entry.load();
  if (arrays && arrays->narrow.contains("ids") && arrays->wide.contains("text_bytes") &&
      arrays->wide.at("text_bytes").size() == 1) {
    out.ids = arrays->narrow.at("ids");
    out.text_bytes = arrays->wide.at("text_bytes").front();
    source.reused = true;
  } else {
    const std::string text = dataset::joined_text(file, std::move(content), options);
    out.ids = encode(tokenizer, text);
    out.text_bytes = static_cast<std::int64_t>(text.size());
    if (out.ids.empty()) dataset::fail(file, "gives no token");
    entry.store({.narrow = {{"ids", out.ids}}, .wide = {{"text_bytes", {out.text_bytes}}}});
  }
  source.note = entry.note();
  out.source = std::move(source);
  return out;
}

std::string tokenizer_hash(const std::filesystem::path& model_dir) {
  std::string lines;
  for (const char* name : {"added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json",
                           "tokenizer_config.json", "vocab.json", "vocab.txt"})
    if (std::error_code error; std::filesystem::exists(model_dir / name, error))
      lines += sha256_file(model_dir / name) + "  " + name + "\n";
  if (lines.empty()) dataset::fail(model_dir, "holds no tokenizer.json, vocab.txt or vocab.json");
  return "sha256:" + sha256(lines);
}

std::filesystem::path default_data_path(std::string_view task) {
  std::filesystem::path relative;
  if (task == "sst2") relative = "data/sst2/dev.tsv";
  if (task == "wikitext2") relative = "data/wikitext2/wiki.test.raw";
  if (relative.empty())
    throw Error(ErrorKind::input, "there is no data set for the task '" + printable(task) + "': name a file with --data");
  if (const auto found = find_shared(relative)) return *found;
  throw Error(ErrorKind::input, "the data of the task '" + printable(task) + "' is not there: looked for " +
                                    searched_places(relative) + "; name a file with --data");
}

}  // namespace eaq
