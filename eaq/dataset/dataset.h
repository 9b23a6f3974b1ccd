// dataset: task files become token arrays once, before anything is timed.
//
//   SST-2 tsv, JSONL with named fields   -> Sentences    (classification)
//   WikiText-2 raw, any text, JSONL      -> TokenStream  (language modelling, judged window by window)
//
// Tokenised results are kept in a cache folder beside a manifest of hashes, and used again only if every hash agrees.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"

namespace eaq {

class Tokenizer;

/// Where tokens came from: what a result's manifest says about its data.
struct DataSource {
  std::string name;  ///< "sst2", "wikitext2", or the file's name
  std::filesystem::path file;
  std::string hash;       ///< "sha256:..." of the file
  std::string tokenizer;  ///< "sha256:..." of what the tokenizer was built from
  bool reused = false;    ///< taken from the cache
  std::string note;       ///< why the cache was not used, where it was asked for: "no entry yet", "the source has changed", ...
};

/// Sentences with a label each. Rows lie one after another, as they run unpadded.
struct Sentences {
  DataSource source;
  std::vector<std::int32_t> ids;     ///< of all sentences, special tokens included
  std::vector<std::int64_t> begin;   ///< [size + 1], offsets into ids
  std::vector<std::int32_t> labels;  ///< [size]
  std::int64_t truncated = 0;        ///< sentences cut to the maximum length

  std::size_t size() const { return labels.size(); }
  std::span<const std::int32_t> sentence(std::size_t i) const {
    return std::span(ids).subspan(static_cast<std::size_t>(begin[i]), static_cast<std::size_t>(begin[i + 1] - begin[i]));
  }
};

/// One long text as one row of tokens.
struct TokenStream {
  DataSource source;
  std::vector<std::int32_t> ids;
  std::int64_t text_bytes = 0;  ///< of the text that was tokenised, for bits per byte
};

/// "sha256:..." over the files of a model folder from which its tokenizer is built. Error{input} where there are none.
std::string tokenizer_hash(const std::filesystem::path& model_dir);

/// Where tokenised results are kept. A folder that cannot be written is not an error: the result's note says so.
struct DataCache {
  std::filesystem::path folder = {};  ///< e.g. cache_folder(); empty: nothing is kept (`--no-cache`)
  std::string tokenizer = {};         ///< tokenizer_hash(model_dir); without it nothing is kept either
};

struct SentenceOptions {
  std::string name = {};         ///< empty: the file's name
  std::string text_field = {};   ///< the column or JSONL field; empty: the first of "sentence", "text_a", "text" that is there
  std::string label_field = {};  ///< empty: "label"
  int label_count = 2;           ///< labels are 0 .. label_count - 1
  int max_length = 512;          ///< tokens, special ones included; longer sentences are cut as the tokenizer cuts them
  std::int64_t limit = 0;        ///< the first so many sentences; 0: all
};

/// Reads `file`: JSONL where its name ends in .jsonl or .ndjson, otherwise tab-separated with a header line that names the
/// columns. Error{input} names file and line for missing columns or fields, ragged rows, labels that are no integer in range, and
/// text that is not UTF-8.
Sentences prepare_sentences(const std::filesystem::path& file, const Tokenizer& tokenizer, const SentenceOptions& options,
                            const DataCache& cache = {});

/// How the lines of a text are put together before it is tokenised as one string. The two differ by thousands of tokens and by
/// several points of perplexity, so every figure names its own.
enum class Join {
  raw,  ///< the file as it is
  /// As Hugging Face's perplexity guide joins the rows of `wikitext-2-raw-v1`: "\n\n".join(rows), where a row is a line with its
  /// own newline and a blank line is the empty row.
  hf,
};

struct TextOptions {
  std::string name = {};        ///< empty: the file's name
  Join join = Join::raw;        ///< JSONL is always joined by two newlines, one record being one row
  std::string text_field = {};  ///< of JSONL; empty: "text"
};

/// Reads `file` (JSONL by its name as above, otherwise plain UTF-8 text) and tokenises it as one string.
TokenStream prepare_tokens(const std::filesystem::path& file, const Tokenizer& tokenizer, const TextOptions& options,
                           const DataCache& cache = {});

/// One forward pass over ids[begin, end), of which the last `targets` tokens are predicted, each from those before it in the
/// window.
struct Window {
  std::int64_t begin = 0, end = 0;
  std::int64_t targets = 0;
};

struct WindowOptions {
  std::int64_t window = 1024;
  std::int64_t stride = 1024;  ///< 1 .. window; below window, neighbours overlap and the overlap is context only
  std::int64_t limit = 0;      ///< the first so many windows; 0: all
};

/// Windows as in Hugging Face's perplexity guide: every token is a target at most once, and the first token of a window without
/// overlap has nothing before it and is none. A short last window counts; one without targets is left out. 286,221 tokens at
/// 1024/1024 are 280 windows with 285,941 targets. (The guide weights an overlapping window by one target too few when it
/// averages; here the targets are those whose loss is summed.) Error{usage} for a stride outside 1 .. window, or a window
/// below 2.
std::vector<Window> windows(std::int64_t tokens, const WindowOptions& options);

enum class Fill {
  none,     ///< sequences one after another
  longest,  ///< to the longest sequence of the batch
  fixed,    ///< to BatchOptions::length
};

struct BatchOptions {
  int sequences = 32;  ///< the last batch may have fewer
  Fill fill = Fill::none;
  int length = 0;           ///< for Fill::fixed; a longer sequence is Error{input}: cut it when tokenising (max_length)
  std::int32_t pad_id = 0;  ///< the tokenizer's padding token
};

/// Some sequences in the data's order, ready to copy to a device; a row is one token. Sequence s is rows
/// [row_begin[s], row_begin[s] + lengths[s]); what lies between them and row_begin[s + 1] is padding.
struct TokenBatch {
  std::int64_t first = 0;               ///< index of sequence 0 among the sentences or windows
  std::vector<std::int32_t> ids;        ///< [rows]
  std::vector<std::int32_t> positions;  ///< [rows], from 0 in each sequence
  std::vector<std::int32_t> row_begin;  ///< [sequences + 1]
  std::vector<std::uint8_t> key_mask;   ///< [rows], 0 for padding; empty where there is none
  std::vector<std::int32_t> lengths;    ///< [sequences], without padding
  std::vector<std::int32_t> labels;     ///< [sequences]; empty for text
  std::vector<std::int32_t> targets;    ///< [sequences], Window::targets; empty for sentences

  std::size_t sequences() const { return lengths.size(); }
};

std::vector<TokenBatch> make_batches(const Sentences& sentences, const BatchOptions& options);
std::vector<TokenBatch> make_batches(const TokenStream& stream, std::span<const Window> windows, const BatchOptions& options);

/// The data set that eaq carries for `task` ("sst2", "wikitext2"). Error{input} says where it was looked for.
std::filesystem::path default_data_path(std::string_view task);

}  // namespace eaq
