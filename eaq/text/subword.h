// The models that split a word into pieces: what the rooms of this floor implement.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/text/json_fwd.h"
#include "eaq/text/text.h"

namespace eaq {

/// The `model` section of a tokenizer.json.
struct SubwordSource {
  const Json& model;
  std::string name;  ///< the file, for messages
};

/// The sections of a tokenizer.json.
struct TokenizerDocument {
  std::shared_ptr<Json> sections;
  std::string name;  ///< the file that they are from, for messages
};

namespace text {

/// The ids of short words that were met before. Direct-mapped: bounded, and a look-up is one cache line. Text repeats itself, so
/// that most words come from here.
class WordCache {
 public:
  static constexpr std::size_t longest_word = 15, most_ids = 3;
  struct Key {
    std::uint64_t low, high;  // the bytes, zero-padded; the last one holds the length
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key;
    std::uint32_t count;
    std::array<std::int32_t, most_ids> ids;
  };

  static Key key_of(std::string_view word) {
    const std::size_t n = word.size();
    const char* const p = word.data();
    Key key{0, 0};
    if (n >= 8) {
      key.low = load<std::uint64_t>(p);
      if (n > 8) key.high = load<std::uint64_t>(p + n - 8) >> (8 * (16 - n));
    } else if (n >= 4) {
      key.low = load<std::uint32_t>(p) | std::uint64_t{load<std::uint32_t>(p + n - 4)} << (8 * (n - 4));
    } else {
      std::memcpy(&key.low, p, n > 1 ? 2 : 1);
      if (n == 3) key.low |= std::uint64_t{static_cast<unsigned char>(p[2])} << 16;
    }
    key.high |= std::uint64_t{n} << 56;
    return key;
  }

  Entry& slot(const Key& key) {
    if (entries_.empty()) entries_.resize(std::size_t{1} << bits);
    const std::uint64_t mixed = (key.low ^ std::rotl(key.high, 29) * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    return entries_[static_cast<std::size_t>((mixed ^ mixed >> 32) * 0x9e3779b97f4a7c15u >> (64 - bits))];
  }

 private:
  static constexpr int bits = 15;
  template <class T>
  static T load(const char* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  std::vector<Entry> entries_;
};

/// What one encoding thread works in. Nothing here changes an answer.
struct Scratch {
  WordCache cache;
  std::vector<std::int32_t> symbols, next, previous;
  std::vector<std::uint32_t> ranks;
  std::vector<std::uint64_t> queue, hashes;
  std::string word, repaired, first, second, third;
  std::vector<std::pair<std::size_t, std::size_t>> spans, more_spans;
};

}  // namespace text

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;

  /// Appends the ids of one word (not empty, well-formed UTF-8 unless `take_bytes` was accepted).
  void encode_word(std::string_view word, text::Scratch& scratch, std::vector<std::int32_t>& ids) const {
    if (word.size() > text::WordCache::longest_word) return split_word(word, scratch, ids);
    const auto key = text::WordCache::key_of(word);
    auto& entry = scratch.cache.slot(key);
    if (entry.key == key) {
      ids.insert(ids.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
      return;
    }
    const std::size_t before = ids.size();
    split_word(word, scratch, ids);
    const std::size_t count = ids.size() - before;
    if (count > text::WordCache::most_ids) return;
    entry.key = key;
    entry.count = static_cast<std::uint32_t>(count);
    std::copy(ids.end() - static_cast<std::ptrdiff_t>(count), ids.end(), entry.ids.begin());
  }

  /// The pre-tokenizer maps bytes to the byte-level alphabet last. A model that answers true gets the bytes themselves from then
  /// on, unmapped.
  virtual bool take_bytes() { return false; }

  virtual std::int64_t vocab_size() const = 0;
  virtual std::optional<std::int32_t> token_to_id(std::string_view token) const = 0;
  virtual std::optional<std::string_view> id_to_token(std::int32_t id) const = 0;

 protected:
  virtual void split_word(std::string_view word, text::Scratch& scratch, std::vector<std::int32_t>& ids) const = 0;
};

}  // namespace eaq
