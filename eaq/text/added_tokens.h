// Added tokens: strings that are taken out of the text before anything else touches it (or, where they are `normalized`, after
// the normalizer), each with an id of its own.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "eaq/text/config.h"
#include "eaq/text/normalizer.h"
#include "eaq/text/unicode.h"

namespace eaq::text {

class AddedTokens {
 public:
  /// Ids: a token of the model keeps its id; others are numbered behind the vocabulary, in order.
  AddedTokens(const std::vector<AddedToken>& tokens, const SubwordModel& model, const Normalizer* normalizer,
              const std::string& file);

  std::int64_t beyond_model() const { return beyond_model_; }  ///< how many the model does not have
  std::optional<std::int32_t> id(std::string_view token) const;
  /// What decoding sees: the normalized form where there is one.
  std::optional<std::string_view> token(std::int32_t id) const;
  std::optional<std::string_view> content(std::int32_t id) const;
  bool is_special(std::string_view token) const { return special_.find(token) != special_.end(); }

  /// Matches tokens of one kind (normalized or not) in `text`, left to right, the longest at each place.
  class Matcher {
   public:
    bool empty() const { return patterns_.empty(); }
    /// Calls `piece(text)` for what is between tokens and `token(id)` for each, in order.
    template <class Piece, class TokenFound>
    void split(std::string_view text, Piece piece, TokenFound token) const;

   private:
    friend class AddedTokens;
    struct Row {
      std::string pattern;
      std::int32_t id;
      bool single_word, lstrip, rstrip;
    };
    void add(Row row, const std::string& file);
    void finish();
    const Row* at(std::string_view rest) const;
    std::size_t next(std::string_view text, std::size_t from) const;
    static bool stands_alone(std::string_view text, std::size_t begin, std::size_t end);
    static std::size_t spaces_before(std::string_view text, std::size_t begin);
    static std::size_t spaces_behind(std::string_view text, std::size_t end);

    std::vector<Row> patterns_;  // by first byte, longest first
    std::array<std::uint32_t, 257> first_{};
    int only_first_byte_ = -1;
  };
  const Matcher& raw() const { return raw_; }
  const Matcher& normalized() const { return normalized_; }

 private:
  struct Stored {
    AddedToken token;
    std::string decoded;
  };
  std::unordered_map<std::string, std::int32_t> ids_;
  std::map<std::int32_t, Stored> by_id_;
  std::map<std::string, bool, std::less<>> special_;
  std::int64_t beyond_model_ = 0;
  Matcher raw_, normalized_;
};

template <class Piece, class TokenFound>
void AddedTokens::Matcher::split(std::string_view text, Piece piece, TokenFound token) const {
  std::size_t covered = 0;  // a token that strips spaces may cover text that another one begins in: as in the library
  for (std::size_t at = next(text, 0); at < text.size();) {
    const Row* row = this->at(text.substr(at));
    if (row == nullptr) {
      at = next(text, at + 1);
      continue;
    }
    std::size_t begin = at, end = at + row->pattern.size();
    at = next(text, end);
    if (row->single_word && !stands_alone(text, begin, end)) continue;
    if (row->lstrip) begin = std::max(spaces_before(text, begin), covered);
    if (row->rstrip) end = spaces_behind(text, end);
    if (covered < begin) piece(text.substr(covered, begin - covered));
    token(row->id);
    covered = end;
  }
  if (covered != text.size()) piece(text.substr(covered));
}

}  // namespace eaq::text
