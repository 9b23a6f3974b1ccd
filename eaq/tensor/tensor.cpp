#include "eaq/tensor/tensor.h"

#include <immintrin.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "eaq/base/base.h"

namespace eaq {
namespace {

struct Row {
  DType dtype;
  std::string_view name;
  std::size_t size;
  bool floating;
};
constexpr std::array<Row, 15> table{{{DType::f64, "F64", 8, true},
                                     {DType::f32, "F32", 4, true},
                                     {DType::f16, "F16", 2, true},
                                     {DType::bf16, "BF16", 2, true},
                                     {DType::f8_e4m3, "F8_E4M3", 1, true},
                                     {DType::f8_e5m2, "F8_E5M2", 1, true},
                                     {DType::i64, "I64", 8, false},
                                     {DType::i32, "I32", 4, false},
                                     {DType::i16, "I16", 2, false},
                                     {DType::i8, "I8", 1, false},
                                     {DType::u64, "U64", 8, false},
                                     {DType::u32, "U32", 4, false},
                                     {DType::u16, "U16", 2, false},
                                     {DType::u8, "U8", 1, false},
                                     {DType::boolean, "BOOL", 1, false}}};

const Row& row(DType dtype) { return table[static_cast<std::size_t>(dtype)]; }

// E4M3 has no infinity and one NaN pattern (S.1111.111); E5M2 follows IEEE (OCP FP8, section 5).
float f8_to_f32(std::uint8_t bits, int mantissa_bits, int bias, bool has_infinity) {
  const int exponent_bits = 7 - mantissa_bits, exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1), all_ones = (1 << exponent_bits) - 1;
  const float sign = bits & 0x80 ? -1.0f : 1.0f;
  if (has_infinity && exponent == all_ones)
    return mantissa ? std::numeric_limits<float>::quiet_NaN() : sign * std::numeric_limits<float>::infinity();
  if (!has_infinity && exponent == all_ones && mantissa == (1 << mantissa_bits) - 1)
    return std::numeric_limits<float>::quiet_NaN();
  const float fraction = static_cast<float>(mantissa) / static_cast<float>(1 << mantissa_bits);
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias) : sign * std::ldexp(1.0f + fraction, exponent - bias);
}

// F16C is as old as AVX2, which eaq needs anyway; _Float16 would be a slow library call, and Clang 14 has none on x86.
__attribute__((target("f16c"))) std::uint16_t narrow(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }
__attribute__((target("f16c"))) float widen(std::uint16_t bits) { return _cvtsh_ss(bits); }

template <class T>
void widen(const TensorView& from, std::span<float> to) {
  const auto values = from.as<T>();
  for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<float>(values[i]);
}

}  // namespace

std::size_t size_of(DType dtype) { return row(dtype).size; }
std::string_view name_of(DType dtype) { return row(dtype).name; }
bool is_float(DType dtype) { return row(dtype).floating; }

bool dtype_from_name(std::string_view name, DType& out) {
  for (const Row& r : table)
    if (r.name == name) return out = r.dtype, true;
  return false;
}

f16::f16(float value) : bits(narrow(value)) {}
f16::operator float() const { return widen(bits); }

bf16::bf16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if (value != value) {
    bits = static_cast<std::uint16_t>((word >> 16) | 0x40);  // rounding could turn a NaN into infinity
    return;
  }
  bits = static_cast<std::uint16_t>((word + 0x7FFF + ((word >> 16) & 1)) >> 16);
}
bf16::operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

std::int64_t elements(const Shape& shape) {
  std::int64_t product = 1;
  for (const std::int64_t d : shape)
    if (d < 0 || __builtin_mul_overflow(product, d, &product))
      throw Error(ErrorKind::input, "shape " + to_string(shape) + " is negative or too large");
  return product;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void TensorView::require(DType wanted) const {
  if (dtype != wanted)
    throw Error(ErrorKind::bug, "a tensor of " + std::string(name_of(dtype)) + " read as " + std::string(name_of(wanted)));
}

namespace {

// Large buffers begin at a huge page and ask for such: a product that draws a weight from memory meets a page every microsecond,
// and what a virtual machine takes to find one shows. Their ends stay in small pages, so that none holds more than it needs.
constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;
std::align_val_t alignment_of(std::size_t bytes) { return std::align_val_t{bytes < huge_page ? line : huge_page}; }

std::byte* allocate(std::size_t bytes) {
  auto* data = static_cast<std::byte*>(::operator new(bytes + line, alignment_of(bytes)));
  if (bytes >= huge_page) ::madvise(data, bytes / huge_page * huge_page, MADV_HUGEPAGE);  // a kernel without them says no
  return data;
}

}  // namespace

Buffer::Buffer(std::size_t bytes) : data_(allocate(bytes), Free{alignment_of(bytes)}), size_(bytes) {}
void Buffer::Free::operator()(std::byte* p) const { ::operator delete(p, alignment); }

Tensor::Tensor(DType dtype_, Shape shape_)
    : dtype(dtype_), shape(std::move(shape_)), buffer(static_cast<std::size_t>(elements(shape)) * size_of(dtype)) {}

void to_f32(const TensorView& from, std::span<float> to) {
  if (to.size() != static_cast<std::size_t>(from.size())) throw Error(ErrorKind::bug, "to_f32: sizes differ");
  switch (from.dtype) {
    case DType::f64:
      return widen<double>(from, to);
    case DType::f32:
      return widen<float>(from, to);
    case DType::f16:
      return widen<f16>(from, to);
    case DType::bf16:
      return widen<bf16>(from, to);
    case DType::f8_e4m3:
    case DType::f8_e5m2: {
      const bool e4m3 = from.dtype == DType::f8_e4m3;
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = f8_to_f32(static_cast<std::uint8_t>(from.data[i]), e4m3 ? 3 : 2, e4m3 ? 7 : 15, !e4m3);
      return;
    }
    default:
      throw Error(ErrorKind::input, "a tensor of " + std::string(name_of(from.dtype)) + " where floating point is needed");
  }
}

std::vector<float> to_f32(const TensorView& from) {
  std::vector<float> values(static_cast<std::size_t>(from.size()));
  to_f32(from, values);
  return values;
}

}  // namespace eaq
