// Byte pair encoding: a word begins as its characters (or bytes), and neighbours are merged, the pair of least rank first.
// Source: Sennrich et al., 2016; over bytes: Radford et al., 2019 (GPT-2).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/text/subword.h"
#include "eaq/text/vocabulary.h"

namespace eaq::text_bpe {

/// (left id, right id) -> (rank, merged id), in one flat table.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank;
    std::int32_t id;
  };
  static constexpr std::uint32_t none = 0xffffffffu;

  explicit MergeTable(std::size_t expected);
  void add(std::int32_t left, std::int32_t right, Merge merge);  ///< the last one counts
  Merge find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    std::size_t slot = slot_of(key);
    while (slots_[slot].key != key && slots_[slot].key != empty) slot = (slot + 1) & mask_;
    return slots_[slot].merge;
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};  // ids are not negative
  struct Slot {
    std::uint64_t key = empty;
    Merge merge{none, -1};
  };
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t slot_of(std::uint64_t key) const {
    const std::uint64_t mixed = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
    return static_cast<std::size_t>(mixed ^ mixed >> 32) & mask_;
  }
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
};

/// Merges `symbols` until no pair of neighbours has a rank.
void merge_all(const MergeTable& merges, text::Scratch& scratch);

class BytePairModel : public SubwordModel {
 public:
  explicit BytePairModel(const SubwordSource& source);

  bool take_bytes() override;
  std::int64_t vocab_size() const override { return vocabulary_.size(); }
  std::optional<std::int32_t> token_to_id(std::string_view token) const override { return vocabulary_.id(token); }
  std::optional<std::string_view> id_to_token(std::int32_t id) const override { return vocabulary_.token(id); }

 protected:
  void split_word(std::string_view word, text::Scratch& scratch, std::vector<std::int32_t>& ids) const override;

 private:
  void symbols_of_bytes(std::string_view word, text::Scratch& scratch) const;
  void symbols_of_characters(std::string_view word, text::Scratch& scratch) const;
  bool fall_back_to_bytes(std::string_view piece, std::vector<std::int32_t>& symbols) const;
  MergeTable read_merges(const SubwordSource& source) const;

  text::Vocabulary vocabulary_;
  std::string prefix_, suffix_;
  std::int32_t unknown_ = -1;
  bool fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false, bytes_ = false;
  std::array<std::int32_t, 256> byte_ids_{};      // of the byte-level alphabet, or of <0x00>...; -1: not in the vocabulary
  std::array<std::int32_t, 256> fallback_ids_{};  // <0x00>...
  MergeTable merges_;
};

}  // namespace eaq::text_bpe
