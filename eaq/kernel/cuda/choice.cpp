#include "eaq/kernel/cuda/choice.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <sstream>

#include "eaq/base/base.h"

namespace eaq::kernel_cuda {
namespace {

// The largest power of two, up to 256, that divides an address.
int alignment_of(const void* p) { return 1 << std::min(8, std::countr_zero(reinterpret_cast<std::uintptr_t>(p) | 256)); }

std::string hex_of(const LtAlgorithm& algorithm) {
  constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : algorithm) hex += digits[byte >> 4], hex += digits[byte & 15];
  return hex;
}

std::optional<LtAlgorithm> algorithm_of(const std::string& hex) {
  LtAlgorithm bytes{};
  if (hex.size() != 2 * bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(std::strtoul(hex.substr(2 * i, 2).c_str(), nullptr, 16));
  return bytes;
}

}  // namespace

ProductKey key_of(const GemmCall& c) {
  ProductKey key{
      .m = c.x.rows, .n = c.w.rows, .k = c.x.cols, .x_stride = c.x.stride, .w_stride = c.w.stride, .y_stride = c.y.stride};
  key.operands = static_cast<std::int64_t>(c.x.dtype), key.result = static_cast<std::int64_t>(c.y.dtype);
  key.tf32 = c.tf32, key.bias = c.bias != nullptr, key.activation = static_cast<std::int64_t>(c.activation);
  key.x_align = alignment_of(c.x.data), key.w_align = alignment_of(c.w.data), key.y_align = alignment_of(c.y.data);
  key.norm_behind = c.norm_behind != nullptr, key.moments = c.moments != nullptr;
  if (c.residual != nullptr) key.residual_stride = c.residual->stride, key.residual_align = alignment_of(c.residual->data);
  return key;
}

ProductKey shared_by_neighbours(ProductKey key) {
  // Eighths of an octave: what runs best differs little within.
  const auto rows = static_cast<std::uint64_t>(key.m);
  const std::uint64_t step = rows > 128 ? std::bit_ceil(rows) / 16 : 1;
  key.m = static_cast<std::int64_t>((rows + step - 1) / step * step);
  return key;
}

ChoiceMemory::ChoiceMemory(const std::string& card, std::size_t library)
    : file_(cache_folder() / ("products-" + card + ".txt")), title_("eaq products 7, cublasLt " + std::to_string(library)) {
  std::ifstream in(file_);
  std::string line;
  if (!std::getline(in, line) || line != title_) return;  // another library's algorithms mean nothing here
  while (std::getline(in, line)) read(line);
}

const ProductChoice* ChoiceMemory::find(const ProductKey& key) const {
  const auto known = known_.find(key);
  return known == known_.end() ? nullptr : &known->second;
}

void ChoiceMemory::remember(const ProductKey& key, const ProductChoice& choice) {
  known_[key] = choice;
  std::ostringstream text;
  text << title_ << "\n";
  for (const auto& [k, c] : known_) {
    for (const std::int64_t number : std::bit_cast<std::array<std::int64_t, ProductKey::fields>>(k)) text << number << ' ';
    if (const auto* algorithm = std::get_if<LtAlgorithm>(&c))
      text << "cublasLt " << hex_of(*algorithm) << "\n";
    else
      text << "cutlass " << std::get<const HopperProduct*>(c)->name << "\n";
  }
  try {
    std::filesystem::create_directories(file_.parent_path());
    AtomicFile out(file_);
    const std::string all = text.str();
    out.write(std::as_bytes(std::span(all)));
    out.commit();
  } catch (const std::exception&) {
    // Choosing again the next time is all that a folder which cannot be written costs.
  }
}

void ChoiceMemory::read(const std::string& line) {
  std::istringstream in(line);
  std::array<std::int64_t, ProductKey::fields> numbers{};
  for (std::int64_t& number : numbers) in >> number;
  std::string library, choice;
  if (!(in >> library >> std::ws) || !std::getline(in, choice)) return;
  const auto key = std::bit_cast<ProductKey>(numbers);
  if (library == "cublasLt") {
    if (const auto algorithm = algorithm_of(choice)) known_[key] = *algorithm;
  } else if (const HopperProduct* product = find_hopper_product(choice); library == "cutlass" && product != nullptr) {
    known_[key] = product;
  }
}

}  // namespace eaq::kernel_cuda
