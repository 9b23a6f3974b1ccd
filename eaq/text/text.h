// text: tokenizers. Text in, token ids out, the same ids as Hugging Face's `tokenizers` gives (0.23, checked by
// scripts/make_tokenizer_references.py), and back.
//
// Text is UTF-8. Bytes that are not are replaced by U+FFFD, one for each maximal ill-formed part, as Python's
// `bytes.decode("utf-8", errors="replace")` does: encoding never fails because of the text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"

namespace eaq {

enum class Side : std::uint8_t { left, right };

struct EncodeOptions {
  bool add_special_tokens = true;  ///< what the post-processor adds: [CLS] ... [SEP]; nothing for GPT-2
  /// At most so many ids, special tokens included; the text's own are cut on `truncation_side()`. Error{usage} where the special
  /// tokens alone are more. Without it nothing is cut, whatever the files say (as in Transformers).
  std::optional<std::int64_t> max_length = std::nullopt;
};

/// How short rows are filled up. Defaults are those of the tokenizer's files where they have any, see `Tokenizer::padding()`.
struct Padding {
  std::optional<std::int64_t> length = std::nullopt;  ///< none: the longest row
  std::int64_t multiple_of = 1;                       ///< the length is rounded up to a multiple of this
  std::int32_t pad_id = 0;
  Side side = Side::right;
};

/// Rows of one length, row-major [rows, length].
struct PaddedBatch {
  std::int64_t rows = 0, length = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> attention_mask;  ///< 1 for a token of the row, 0 for padding
};

/// Pads rows to one length. Rows longer than `padding.length` keep their length and so does the batch: nothing is cut here.
PaddedBatch pad(std::span<const std::vector<std::int32_t>> rows, const Padding& padding);

/// A truncation that a tokenizer.json asks for. Only the `tokenizers` library itself applies it unasked; see `EncodeOptions`.
struct Truncation {
  std::int64_t max_length = 0;
  Side side = Side::right;
};

/// Immutable once loaded; every method may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view kind() const = 0;  ///< its name in the registry: "wordpiece", "bpe"

  std::vector<std::int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// Appends to `ids`; for callers that encode much into one buffer.
  virtual void encode_into(std::string_view text, const EncodeOptions& options, std::vector<std::int32_t>& ids) const = 0;
  std::vector<std::vector<std::int32_t>> encode_batch(std::span<const std::string_view> texts,
                                                      const EncodeOptions& options = {}) const;
  std::vector<std::vector<std::int32_t>> encode_batch(std::span<const std::string> texts,
                                                      const EncodeOptions& options = {}) const;

  /// Ids that are not in the vocabulary are left out, as Hugging Face does. Spaces are cleaned up only where the tokenizer's own
  /// decoder does so (WordPiece's `cleanup`).
  virtual std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const = 0;

  virtual std::int64_t vocab_size() const = 0;  ///< tokens, added ones included
  virtual std::optional<std::int32_t> token_to_id(std::string_view token) const = 0;
  virtual std::optional<std::string> id_to_token(std::int32_t id) const = 0;

  /// Special tokens by their role in tokenizer_config.json / special_tokens_map.json: "pad", "unk", "cls", "sep", "mask", "bos",
  /// "eos". None where the files name none.
  virtual std::optional<std::int32_t> special_id(std::string_view role) const = 0;
  std::optional<std::int32_t> pad_id() const { return special_id("pad"); }
  std::optional<std::int32_t> eos_id() const { return special_id("eos"); }

  virtual std::int64_t special_tokens_added() const = 0;                 ///< by `add_special_tokens`, to one text
  virtual std::optional<std::int64_t> model_max_length() const = 0;      ///< tokenizer_config.json
  virtual Side truncation_side() const = 0;                              ///< right unless the files say otherwise
  virtual const std::optional<Truncation>& file_truncation() const = 0;  ///< tokenizer.json's own section
  virtual const std::optional<Padding>& file_padding() const = 0;        ///< tokenizer.json's own section
  Padding padding() const;  ///< for `pad`: the longest row, with this tokenizer's pad id (0 where it has none) and side
  virtual Side padding_side() const = 0;
};

/// Reads the tokenizer of a model folder: tokenizer.json, else the vocabulary files of a registered kind (vocab.txt; vocab.json
/// and merges.txt), with tokenizer_config.json, special_tokens_map.json and added_tokens.json where they are. Error{input} names
/// the file and what is wrong, missing or not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_dir);

/// The same from the text of a tokenizer.json alone. `name` stands for the file in messages.
std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view tokenizer_json, std::string_view name);

// For the rooms of this floor: eaq/text/subword.h and eaq/text/config.h.
class SubwordModel;
struct SubwordSource;
struct TokenizerDocument;
namespace text {
class TokenizerConfig;
}

/// A kind of tokenizer: the model that splits words into pieces.
struct TokenizerKind {
  std::string_view name;
  std::string_view about;                          ///< one line
  std::string_view json_type;                      ///< `model.type` in tokenizer.json
  std::vector<std::string_view> vocabulary_files;  ///< what a folder without tokenizer.json must hold
  std::unique_ptr<SubwordModel> (*from_json)(const SubwordSource& model);
  /// The sections that a tokenizer.json made from those files would have.
  TokenizerDocument (*from_files)(const std::filesystem::path& model_dir, const text::TokenizerConfig& config);
};

/// All kinds, in the order of their names. The table is written by CMake from the subfolders.
std::span<const RegistryRow<TokenizerKind>> tokenizer_kinds();

}  // namespace eaq
