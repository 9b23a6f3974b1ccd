// tensor: element types, shapes, views into memory that somebody else owns, and buffers that own theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eaq {

/// Element types, those of safetensors. Names as safetensors writes them: "F32", "BF16", ...
enum class DType : std::uint8_t { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

std::size_t size_of(DType dtype);                         ///< bytes per element
std::string_view name_of(DType dtype);                    ///< "F32"
bool dtype_from_name(std::string_view name, DType& out);  ///< false for an unknown name
bool is_float(DType dtype);

/// IEEE binary16 and bfloat16 as storage. Conversions round to nearest, ties to even; NaN stays NaN, overflow becomes infinity.
struct f16 {
  std::uint16_t bits = 0;
  f16() = default;
  explicit f16(float value);
  explicit operator float() const;
};
struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float value);
  explicit operator float() const;
};
static_assert(sizeof(f16) == 2 && sizeof(bf16) == 2);

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<f16>() {
  return DType::f16;
}
template <>
constexpr DType dtype_of<bf16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::i8;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}

using Shape = std::vector<std::int64_t>;  ///< outermost first; empty is a scalar

/// Product of the dimensions. Error{input} on a negative dimension or a product past 2^63.
std::int64_t elements(const Shape& shape);
std::string to_string(const Shape& shape);  ///< "[2, 3]"

/// Elements in memory that somebody else owns; dense, row-major.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  const std::byte* data = nullptr;

  std::int64_t size() const { return elements(shape); }
  std::span<const std::byte> bytes() const { return {data, static_cast<std::size_t>(size()) * size_of(dtype)}; }
  /// The elements as `T`; Error{bug} if `T` is not the element type.
  template <class T>
  std::span<const T> as() const {
    require(dtype_of<T>());
    return {reinterpret_cast<const T*>(data), static_cast<std::size_t>(size())};
  }

 private:
  void require(DType wanted) const;
};

/// Owned memory, aligned to 64 bytes (a cache line, and an AVX-512 vector).
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);  ///< uninitialised
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_.get());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_.get());
  }

 private:
  struct Free {
    std::align_val_t alignment;
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

/// A tensor that owns its elements.
struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  Buffer buffer;

  Tensor() = default;
  Tensor(DType dtype, Shape shape);
  template <class T>
  Tensor(Shape dimensions, std::span<const T> values) : Tensor(dtype_of<T>(), std::move(dimensions)) {
    std::memcpy(buffer.data(), values.data(), values.size_bytes());
  }
  TensorView view() const { return {dtype, shape, buffer.data()}; }
  template <class T>
  std::span<T> as() {
    return {buffer.as<T>(), buffer.size() / sizeof(T)};
  }
  template <class T>
  std::span<const T> as() const {
    return view().as<T>();
  }
};

/// Any floating-point element type widened to f32 (f64 is rounded). Error{input} for integer types.
void to_f32(const TensorView& from, std::span<float> to);
std::vector<float> to_f32(const TensorView& from);

}  // namespace eaq
