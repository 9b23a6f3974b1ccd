#include "eaq/text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "eaq/base/base.h"

namespace eaq::text {

Vocabulary::Vocabulary(std::size_t expected, std::string name) : name_(std::move(name)) {
  entries_.reserve(expected);
  text_.reserve(expected * 8);
  grow(std::bit_ceil(std::max<std::size_t>(64, expected * 2)));
}

void Vocabulary::grow(std::size_t slots) {
  table_.assign(slots, 0);
  mask_ = slots - 1;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = slot_of(entries_[i].hash) & mask_;
    while (table_[slot] != 0) slot = (slot + 1) & mask_;
    table_[slot] = i + 1;
  }
}

void Vocabulary::add(std::string_view token, std::int64_t id) {
  if (id < 0 || id > std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::input, printable(name_) + ": the token '" + printable(token) + "' has the id " + std::to_string(id) +
                                      ", outside 0..2147483647");
  if (token.size() > std::numeric_limits<std::uint32_t>::max() || entries_.size() >= std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::input, printable(name_) + ": the vocabulary is too large");
  PrefixHash hash;
  hash.add(token);
  std::size_t slot = slot_of(hash.state) & mask_;
  for (; table_[slot] != 0; slot = (slot + 1) & mask_) {
    Entry& entry = entries_[table_[slot] - 1];
    if (entry.hash == hash.state && text_of(entry) == token) {
      entry.id = static_cast<std::int32_t>(id);
      return;
    }
  }
  entries_.push_back({hash.state, text_.size(), static_cast<std::uint32_t>(token.size()), static_cast<std::int32_t>(id)});
  text_ += token;
  longest_ = std::max(longest_, token.size());
  table_[slot] = static_cast<std::uint32_t>(entries_.size());
  if (entries_.size() * 2 > table_.size()) grow(table_.size() * 2);
}

void Vocabulary::finish() {
  const auto highest =
      std::max_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
  if (highest == entries_.end()) return;
  const auto span = static_cast<std::size_t>(highest->id) + 1;
  if (span <= entries_.size() * 8 + 65536) {
    dense_.assign(span, 0);
    for (std::uint32_t i = 0; i < entries_.size(); ++i) dense_[static_cast<std::size_t>(entries_[i].id)] = i + 1;
    return;
  }
  for (std::uint32_t i = 0; i < entries_.size(); ++i) by_id_.emplace_back(entries_[i].id, i);
  std::stable_sort(by_id_.begin(), by_id_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
}

std::optional<std::int32_t> Vocabulary::id(std::string_view token) const {
  PrefixHash hash;
  hash.add(token);
  const std::int32_t found = find({}, token, hash);
  return found < 0 ? std::nullopt : std::optional(found);
}

std::int32_t Vocabulary::find(std::string_view prefix, std::string_view rest, PrefixHash hash) const {
  for (std::size_t slot = slot_of(hash.state) & mask_; table_[slot] != 0; slot = (slot + 1) & mask_) {
    const Entry& entry = entries_[table_[slot] - 1];
    if (entry.hash != hash.state || entry.length != prefix.size() + rest.size()) continue;
    const std::string_view token = text_of(entry);
    if (token.starts_with(prefix) && token.substr(prefix.size()) == rest) return entry.id;
  }
  return -1;
}

std::optional<std::string_view> Vocabulary::token(std::int32_t id) const {
  if (id < 0) return std::nullopt;
  if (!dense_.empty()) {
    if (static_cast<std::size_t>(id) >= dense_.size() || dense_[static_cast<std::size_t>(id)] == 0) return std::nullopt;
    return text_of(entries_[dense_[static_cast<std::size_t>(id)] - 1]);
  }
  const auto it =
      std::lower_bound(by_id_.begin(), by_id_.end(), id, [](const auto& row, std::int32_t wanted) { return row.first < wanted; });
  if (it == by_id_.end() || it->first != id) return std::nullopt;
  return text_of(entries_[it->second]);
}

}  // namespace eaq::text
