#include "eaq/text/added_tokens.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include "eaq/base/json.h"

namespace eaq::text {

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const SubwordModel& model, const Normalizer* normalizer,
                         const std::string& file) {
  std::int64_t next_id = model.vocab_size();
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    std::optional<std::int32_t> id = this->id(token.content);
    if (!id) id = model.token_to_id(token.content);
    if (!id) {
      if (next_id > std::numeric_limits<std::int32_t>::max())
        throw Error(ErrorKind::input, printable(file) + ": there is no id left for '" + printable(token.content) + "'");
      id = static_cast<std::int32_t>(next_id++);
      ++beyond_model_;
    }
    Stored stored{token, token.content};
    if (token.normalized && normalizer != nullptr) {
      stored.decoded.clear();
      normalizer->apply(token.content, stored.decoded);
    }
    ids_[token.content] = *id;
    if (token.special) special_[token.content] = true;
    by_id_[*id] = std::move(stored);
  }
  for (const auto& [id, stored] : by_id_) {
    const AddedToken& token = stored.token;
    Matcher& matcher = token.normalized ? normalized_ : raw_;
    matcher.add({stored.decoded, id, token.single_word, token.lstrip, token.rstrip}, file);
  }
  raw_.finish();
  normalized_.finish();
}

std::optional<std::int32_t> AddedTokens::id(std::string_view token) const {
  const auto it = ids_.find(std::string(token));
  return it == ids_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<std::string_view> AddedTokens::token(std::int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? std::nullopt : std::optional<std::string_view>(it->second.decoded);
}

std::optional<std::string_view> AddedTokens::content(std::int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? std::nullopt : std::optional<std::string_view>(it->second.token.content);
}

void AddedTokens::Matcher::add(Row row, const std::string& file) {
  if (row.pattern.empty())
    throw Error(ErrorKind::input,
                printable(file) + ": the normalizer leaves nothing of the added token with id " + std::to_string(row.id));
  patterns_.push_back(std::move(row));
}

void AddedTokens::Matcher::finish() {
  const auto first = [](const Row& row) { return static_cast<unsigned char>(row.pattern[0]); };
  std::sort(patterns_.begin(), patterns_.end(), [&](const Row& a, const Row& b) {
    return std::tuple(first(a), b.pattern.size(), a.id) < std::tuple(first(b), a.pattern.size(), b.id);
  });
  for (const Row& row : patterns_) ++first_[first(row) + std::size_t{1}];
  for (std::size_t b = 0; b < 256; ++b) {
    if (first_[b + 1] != 0) only_first_byte_ = only_first_byte_ == -1 ? static_cast<int>(b) : -2;
    first_[b + 1] += first_[b];
  }
}

std::size_t AddedTokens::Matcher::next(std::string_view text, std::size_t from) const {
  if (from >= text.size() || patterns_.empty()) return text.size();
  if (only_first_byte_ >= 0) {  // the usual case, '<' or '['
    const void* found = std::memchr(text.data() + from, only_first_byte_, text.size() - from);
    return found == nullptr ? text.size() : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
  }
  for (; from < text.size(); ++from) {
    const auto b = static_cast<unsigned char>(text[from]);
    if (first_[b] != first_[b + std::size_t{1}]) break;
  }
  return from;
}

const AddedTokens::Matcher::Row* AddedTokens::Matcher::at(std::string_view rest) const {
  const auto b = static_cast<unsigned char>(rest[0]);
  for (std::uint32_t i = first_[b]; i < first_[b + std::size_t{1}]; ++i)
    if (rest.starts_with(patterns_[i].pattern)) return &patterns_[i];
  return nullptr;
}

bool AddedTokens::Matcher::stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const CharacterTable& table = CharacterTable::instance();
  if (begin > 0 && table.is(code_point_before(text.data() + begin).value, is_word)) return false;
  return end == text.size() || !table.is(code_point_at(text.data() + end).value, is_word);
}

std::size_t AddedTokens::Matcher::spaces_before(std::string_view text, std::size_t begin) {
  while (begin > 0) {
    const CodePoint c = code_point_before(text.data() + begin);
    if (!CharacterTable::instance().is(c.value, is_space)) break;
    begin -= c.bytes;
  }
  return begin;
}

std::size_t AddedTokens::Matcher::spaces_behind(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    const CodePoint c = code_point_at(text.data() + end);
    if (!CharacterTable::instance().is(c.value, is_space)) break;
    end += c.bytes;
  }
  return end;
}

}  // namespace eaq::text
