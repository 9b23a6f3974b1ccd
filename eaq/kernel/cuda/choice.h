// By which kernel a product runs: chosen by measurement, and remembered per card.
#pragma once

#include <array>
#include <compare>
#include <filesystem>
#include <map>
#include <string>
#include <variant>

#include "eaq/kernel/cuda.h"
#include "eaq/kernel/cuda/hopper/products.h"

namespace eaq::kernel_cuda {

/// All that a choice depends on.
struct ProductKey {
  std::int64_t m = 0, n = 0, k = 0, x_stride = 0, w_stride = 0, y_stride = 0, residual_stride = 0;
  std::int64_t operands = 0, result = 0, tf32 = 0, bias = 0, activation = 0, x_align = 0, w_align = 0, y_align = 0,
               residual_align = 0, norm_behind = 0, moments = 0;
  auto operator<=>(const ProductKey&) const = default;
  static constexpr std::size_t fields = 18;
};
static_assert(sizeof(ProductKey) == ProductKey::fields * sizeof(std::int64_t));

ProductKey key_of(const GemmCall& call);

/// The key under which a product's choice is kept: row counts that lie close together share one, since batches of unpadded rows
/// seldom have the same count twice.
ProductKey shared_by_neighbours(ProductKey key);

/// An algorithm of cuBLASLt's as its library writes it, or one of ours.
using LtAlgorithm = std::array<unsigned char, 64>;
using ProductChoice = std::variant<LtAlgorithm, const HopperProduct*>;

/// Choices made earlier on this card with this library, one a line of a file: the key's numbers, then "cublasLt" and the
/// algorithm in hexadecimal, or "cutlass" and a name.
class ChoiceMemory {
 public:
  ChoiceMemory(const std::string& card, std::size_t library);
  const ProductChoice* find(const ProductKey& key) const;
  void remember(const ProductKey& key, const ProductChoice& choice);

 private:
  void read(const std::string& line);

  std::filesystem::path file_;
  std::string title_;
  std::map<ProductKey, ProductChoice> known_;
};

}  // namespace eaq::kernel_cuda
