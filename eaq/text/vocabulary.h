// Tokens and their ids, both ways: one block of text, one flat table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eaq::text {

/// FNV-1a, byte by byte: the hashes of all prefixes of a word come with the hash of the word.
struct PrefixHash {
  std::uint64_t state = 0xcbf29ce484222325u;
  void add(char c) { state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3u; }
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
};

class Vocabulary {
 public:
  /// Error{input} "NAME: ..." for an id outside 0..2^31-1.
  Vocabulary(std::size_t expected, std::string name);

  void add(std::string_view token, std::int64_t id);  ///< a token that is already there gets the new id
  void finish();                                      ///< after the last `add`

  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  std::size_t longest() const { return longest_; }  ///< bytes of the longest token

  std::optional<std::int32_t> id(std::string_view token) const;
  /// The id of `prefix` + `rest`, whose hash is known; -1 if there is none.
  std::int32_t find(std::string_view prefix, std::string_view rest, PrefixHash hash) const;
  std::optional<std::string_view> token(std::int32_t id) const;

  /// Calls `visit(token, id)` for every token, in the order of their adding.
  template <class Visit>
  void each(Visit visit) const {
    for (const Entry& entry : entries_) visit(text_of(entry), entry.id);
  }

 private:
  struct Entry {
    std::uint64_t hash;
    std::size_t begin;
    std::uint32_t length;
    std::int32_t id;
  };
  std::string_view text_of(const Entry& entry) const { return std::string_view(text_).substr(entry.begin, entry.length); }
  static std::size_t slot_of(std::uint64_t hash) { return static_cast<std::size_t>(hash ^ hash >> 32); }
  void grow(std::size_t slots);

  std::string name_, text_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> table_;  // index + 1 of the entry, 0: empty
  std::size_t mask_ = 0, longest_ = 0;
  std::vector<std::pair<std::int32_t, std::uint32_t>> by_id_;  // sorted
  std::vector<std::uint32_t> dense_;                           // index + 1 by id, where the ids are dense
};

}  // namespace eaq::text
