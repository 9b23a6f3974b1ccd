// Private to kernel's tests: every instruction set of the machine in turn, matrices in every storage, plain references.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <random>
#include <string>

#include "eaq/kernel/kernel.h"

namespace eaq::testing_kernel {

/// Runs `body` once for every instruction set that Highway's kernels exist for and this machine has.
template <class Body>
void on_every_level(Body body) {
  {
    SCOPED_TRACE(cpu_isa() >= Isa::avx512 ? "AVX-512" : "AVX2");
    body();
  }
  if (cpu_isa() < Isa::avx512) return;
  SCOPED_TRACE("AVX2");
  hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  body();
  hwy::DisableTargets(0);
}

constexpr DType storages[] = {DType::f32, DType::bf16, DType::f16};
constexpr std::int64_t odd_sizes[] = {1, 3, 7, 15, 16, 17, 63, 64, 65, 1000};

/// Half a step in the last place of a storage type, relative.
inline double rounding(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : dtype == DType::bf16 ? 0x1p-8 : 0x1p-11; }

/// A matrix that owns its memory: rows apart by more than their length, the gap filled with a guard that must stay.
class Owned {
 public:
  Owned(DType dtype, std::int64_t rows, std::int64_t cols)
      : buffer_(static_cast<std::size_t>(rows * (cols + gap)) * size_of(dtype)),
        matrix_{dtype, buffer_.data(), rows, cols, cols + gap} {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols + gap; ++c) set(r, c, guard);
  }
  const Matrix& matrix() const { return matrix_; }
  float at(std::int64_t r, std::int64_t c) const {
    const std::byte* row = matrix_.row(r);
    if (matrix_.dtype == DType::f32) return reinterpret_cast<const float*>(row)[c];
    if (matrix_.dtype == DType::bf16) return static_cast<float>(reinterpret_cast<const bf16*>(row)[c]);
    return static_cast<float>(reinterpret_cast<const f16*>(row)[c]);
  }
  void set(std::int64_t r, std::int64_t c, float value) {
    std::byte* row = matrix_.row(r);
    if (matrix_.dtype == DType::f32)
      reinterpret_cast<float*>(row)[c] = value;
    else if (matrix_.dtype == DType::bf16)
      reinterpret_cast<bf16*>(row)[c] = bf16(value);
    else
      reinterpret_cast<f16*>(row)[c] = f16(value);
  }
  template <class Value>
  void fill(Value value) {
    for (std::int64_t r = 0; r < matrix_.rows; ++r)
      for (std::int64_t c = 0; c < matrix_.cols; ++c) set(r, c, static_cast<float>(value(r, c)));
  }
  void fill_normal(unsigned seed, float deviation = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, deviation);
    fill([&](std::int64_t, std::int64_t) { return normal(random); });
  }
  bool guards_stand() const {
    for (std::int64_t r = 0; r < matrix_.rows; ++r)
      for (std::int64_t c = matrix_.cols; c < matrix_.stride; ++c)
        if (at(r, c) != guard) return false;
    return true;
  }

 private:
  static constexpr std::int64_t gap = 5;
  static constexpr float guard = -12288.0f;  // exact in every storage
  Buffer buffer_;
  Matrix matrix_;
};

/// "bf16 -> f32, 3 x 17"
inline std::string label(DType from, DType to, std::int64_t rows, std::int64_t cols) {
  return std::string(name_of(from)) + " -> " + std::string(name_of(to)) + ", " + std::to_string(rows) + " x " +
         std::to_string(cols);
}

}  // namespace eaq::testing_kernel
