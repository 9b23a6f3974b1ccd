// A tokenizer as tokenizer.json describes it: added tokens, normalizer, pre-tokenizer, model, post-processor, decoder.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "eaq/text/added_tokens.h"
#include "eaq/text/decoder.h"
#include "eaq/text/gpt2_split.h"
#include "eaq/text/normalizer.h"
#include "eaq/text/post_processor.h"
#include "eaq/text/pre_tokenizer.h"
#include "eaq/text/subword.h"

namespace eaq::text {

class Pipeline : public Tokenizer {
 public:
  Pipeline(const TokenizerDocument& document, const TokenizerConfig& config);

  std::string_view kind() const override { return kind_->name; }
  void encode_into(std::string_view text, const EncodeOptions& options, std::vector<std::int32_t>& ids) const override;
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const override;
  std::int64_t vocab_size() const override { return model_->vocab_size() + added_->beyond_model(); }
  std::optional<std::int32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string> id_to_token(std::int32_t id) const override;
  std::optional<std::int32_t> special_id(std::string_view role) const override;
  std::int64_t special_tokens_added() const override { return static_cast<std::int64_t>(post_processor_.tokens_added()); }
  std::optional<std::int64_t> model_max_length() const override { return model_max_length_; }
  Side truncation_side() const override { return truncation_side_; }
  Side padding_side() const override { return padding_side_; }
  const std::optional<Truncation>& file_truncation() const override { return truncation_; }
  const std::optional<Padding>& file_padding() const override { return padding_; }

 private:
  // How words are found. The first two do what the last does with the same sections, in one pass and without copies.
  enum class Way { bert, byte_level, steps };

  void read_sections(const TokenizerDocument& document);
  void choose_way();
  void read_roles(const TokenizerConfig& config);
  void encode_raw(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  void encode_normalized(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  void encode_bert(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  void encode_byte_level(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  void encode_steps(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  void truncate(const EncodeOptions& options, std::size_t added, std::size_t begin, std::vector<std::int32_t>& ids) const;

  const TokenizerKind* kind_ = nullptr;
  std::unique_ptr<SubwordModel> model_;
  std::unique_ptr<Normalizer> normalizer_;
  PreTokenizerPlan plan_;
  std::optional<AddedTokens> added_;
  PostProcessor post_processor_;
  std::unique_ptr<Decoder> decoder_;
  Way way_ = Way::steps;
  bool model_takes_bytes_ = false;
  const BertNormalizer* bert_ = nullptr;
  Gpt2Splitter splitter_;
  std::optional<Truncation> truncation_;
  std::optional<Padding> padding_;
  std::optional<std::int64_t> model_max_length_;
  Side truncation_side_ = Side::right, padding_side_ = Side::right;
  std::map<std::string, std::int32_t, std::less<>> roles_;

  // Scratch is lent to one call at a time; it keeps its word cache from call to call.
  std::unique_ptr<Scratch> borrow() const;
  void give_back(std::unique_ptr<Scratch> scratch) const;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace eaq::text
