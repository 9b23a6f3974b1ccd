// The safetensors layout, and its header.
//
//   bytes 0..7      header length n, unsigned, little-endian; at most 100,000,000
//   bytes 8..8+n    UTF-8 JSON, begins with '{', may end in spaces:
//                   {"__metadata__": {"k": "v"}, "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...}
//   the rest        tensor data; offsets count from here. Little-endian, row-major, without holes, overlaps or remainder.
//
// Source: the format's description (huggingface/safetensors, README.md) and its reference library, whose checks are the least
// that is checked here; names that stand twice are refused as the description demands.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/tensor/tensor.h"

namespace eaq::safetensors {

inline constexpr std::uint64_t max_header = 100'000'000;
inline constexpr std::string_view metadata_key = "__metadata__";

/// An element type of the format, also those that eaq does not compute with.
struct Type {
  std::string_view name;
  unsigned bits;
  bool known;   ///< to eaq
  DType dtype;  ///< where known
};

/// By name, or null.
const Type* find_type(std::string_view name);

/// Place in the reference library's writing order; narrow types have low ranks.
int rank_of(DType dtype);

struct Entry {
  std::string name;
  const Type* type = nullptr;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes from Header::data_begin
};

struct Header {
  std::vector<Entry> entries;  ///< sorted by name
  std::map<std::string, std::string> metadata;
  std::size_t data_begin = 0;  ///< of the file

  const Entry* find(std::string_view name) const;  ///< or null
};

/// Checks everything that can be checked without reading tensor data. Error{input} begins with `file`.
Header parse_header(std::span<const std::byte> bytes, std::string_view file);

}  // namespace eaq::safetensors
