// The card's matrix products without cuBLASLt: plain ones on the memory of the emulated card.
#include "eaq/kernel/cuda/gemm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/device.h"
#include "emulated/emulated.h"
#include "emulated/product.h"

namespace eaq::kernel_cuda {
namespace {

float element(const Matrix& m, std::int64_t row, std::int64_t col) {
  const std::byte* at = m.row(row) + col * static_cast<std::int64_t>(size_of(m.dtype));
  if (m.dtype == DType::f16) return *reinterpret_cast<const __half*>(at);
  if (m.dtype == DType::bf16) return *reinterpret_cast<const __nv_bfloat16*>(at);
  return *reinterpret_cast<const float*>(at);
}

void store(const Matrix& m, std::int64_t row, std::int64_t col, float value) {
  std::byte* at = m.row(row) + col * static_cast<std::int64_t>(size_of(m.dtype));
  if (m.dtype == DType::f16)
    *reinterpret_cast<__half*>(at) = __half(value);
  else if (m.dtype == DType::bf16)
    *reinterpret_cast<__nv_bfloat16*>(at) = __nv_bfloat16(value);
  else
    *reinterpret_cast<float*>(at) = value;
}

// To 10 bits of mantissa, to nearest even. Infinities and NaNs stay.
float tf32_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::isfinite(value) ? std::bit_cast<float>((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu) : value;
}

// The elements as floats, [k, rows]: neighbours in memory are those that are multiplied by the same element of the other.
std::vector<float> transposed(const Matrix& m, bool tf32) {
  std::vector<float> values(static_cast<std::size_t>(m.rows * m.cols));
  for (std::int64_t row = 0; row < m.rows; ++row)
    for (std::int64_t col = 0; col < m.cols; ++col) {
      const float value = element(m, row, col);
      values[static_cast<std::size_t>(col * m.rows + row)] = tf32 ? tf32_of(value) : value;
    }
  return values;
}

float gelu_tanh(float x) { return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x))); }

// What a row's sums are multiplied by, and what is then added w's sums times.
struct RowNorm {
  float scale = 1, shift = 0;
};
RowNorm norm_of(const NormBehind& norm, const Matrix& x, std::int64_t row) {
  const RowMoments moments = RowMoments::of(x.rows, x.cols);
  float sum = 0, squares = 0;
  for (std::int64_t part = 0; part < moments.parts; ++part) {
    sum += norm.moments[part * moments.rows + row];
    squares += norm.moments[(moments.parts + part) * moments.rows + row];
  }
  const float mean = sum / static_cast<float>(x.cols), variance = squares / static_cast<float>(x.cols) - mean * mean;
  const float scale = 1 / std::sqrt(std::max(variance, 0.0f) + norm.epsilon);
  return {scale, -mean * scale};
}

// In the order of k, in f32, rounded once.
void compute(const GemmCall& call, const std::optional<Matrix>& residual, const std::optional<NormBehind>& norm) {
  const auto n = static_cast<std::size_t>(call.w.rows);
  const std::vector<float> w = transposed(call.w, call.tf32), x = transposed(call.x, call.tf32);
  const Matrix bias{norm ? DType::f32 : call.y.dtype, const_cast<std::byte*>(call.bias), 1, call.y.cols, call.y.cols};
  std::vector<float> sums(n);
  for (std::int64_t row = 0; row < call.x.rows; ++row) {
    sums.assign(n, 0);
    for (std::int64_t k = 0; k < call.x.cols; ++k)
      emulated::accumulate(sums.data(), w.data() + static_cast<std::size_t>(k) * n,
                           x[static_cast<std::size_t>(k * call.x.rows + row)], n);
    const RowNorm of_row = norm ? norm_of(*norm, call.x, row) : RowNorm{};
    for (std::int64_t col = 0; col < call.y.cols; ++col) {
      float value = sums[static_cast<std::size_t>(col)];
      if (norm) value = of_row.scale * value + of_row.shift * norm->w_sums[col];
      if (call.bias != nullptr) value += element(bias, 0, col);
      if (call.activation == Activation::gelu_tanh) value = gelu_tanh(value);
      if (residual) value += element(*residual, row, col);
      store(call.y, row, col, value);
    }
  }
}

void want_on_card(const Matrix& m, const char* what) {
  const auto elements = static_cast<std::size_t>((m.rows - 1) * m.stride + m.cols);
  if (m.rows > 0 && !emulated::is_device_memory(m.data, elements * size_of(m.dtype)))
    throw Error(ErrorKind::bug, std::string("a product's ") + what + " is not in the card's memory");
}

void check(const GemmCall& call) {
  if (call.w.dtype != call.x.dtype || (call.y.dtype != DType::f32 && call.y.dtype != call.x.dtype) ||
      call.w.cols != call.x.cols || call.y.rows != call.x.rows || call.y.cols != call.w.rows ||
      (call.activation != Activation::none && (call.activation != Activation::gelu_tanh || call.residual != nullptr)))
    throw Error(ErrorKind::bug, "a product of operands that do not fit together");
  want_on_card(call.x, "input");
  want_on_card(call.w, "weight");
  want_on_card(call.y, "result");
  const DType bias = call.norm_behind != nullptr ? DType::f32 : call.y.dtype;
  if (call.bias != nullptr) want_on_card({bias, const_cast<std::byte*>(call.bias), 1, call.y.cols, call.y.cols}, "bias");
  if (call.residual == nullptr) return;
  if (call.residual->dtype != call.y.dtype || call.residual->rows != call.y.rows || call.residual->cols != call.y.cols)
    throw Error(ErrorKind::bug, "a product's residual has another shape or type than its result");
  want_on_card(*call.residual, "residual");
}

// As cuBLASLt, which has no algorithm for every matrix: 16-bit pairs must be whole words. The rest is the plain kernel's.
bool whole_words(const Matrix& m) {
  return reinterpret_cast<std::uintptr_t>(m.data) % 4 == 0 && m.stride * static_cast<std::int64_t>(size_of(m.dtype)) % 4 == 0;
}

// What the choice of an algorithm depends on.
using Shape = std::array<std::int64_t, 13>;
Shape shape_of(const GemmCall& c) {
  return {c.x.rows,
          c.w.rows,
          c.x.cols,
          c.x.stride,
          c.w.stride,
          c.y.stride,
          static_cast<std::int64_t>(c.x.dtype),
          static_cast<std::int64_t>(c.y.dtype),
          c.tf32,
          c.bias != nullptr,
          c.residual != nullptr,
          static_cast<std::int64_t>(c.activation),
          c.norm_behind != nullptr};
}

}  // namespace

struct Gemm::State {
  CudaContext& context;
  std::set<Shape> chosen;
  std::map<std::pair<DType, bool>, std::string> names;
  std::string plain = "eaq plain product";
};

// As cuBLASLt does. Sums of y's rows are kept by a kernel of their own.
bool fuses(const CudaContext&, const GemmCall& call) {
  if (call.moments != nullptr) return false;
  return call.activation == Activation::none || (call.activation == Activation::gelu_tanh && call.residual == nullptr);
}

// Whatever the width, so that small models have norms behind their products.
bool has_norms_behind(const CudaContext& context) { return context.architecture() == 90; }

bool keeps_moments(const CudaContext& context, const Matrix& x) {
  return has_norms_behind(context) && (x.dtype == DType::f16 || x.dtype == DType::bf16) && x.rows > 512 && whole_words(x) &&
         RowMoments::of(x.rows, x.cols).bytes() <= static_cast<std::size_t>(x.rows * x.stride) * size_of(x.dtype);
}

bool norms_behind(const CudaContext& context, const GemmCall& call) {
  return keeps_moments(context, call.x) && call.residual == nullptr && call.w.dtype == call.x.dtype &&
         call.y.dtype == call.x.dtype;
}

Gemm::Gemm(CudaContext& context) : state_(std::make_unique<State>(State{context, {}, {}})) {}
Gemm::~Gemm() = default;

const std::string& Gemm::run(const GemmCall& call) {
  check(call);
  if (const Shape shape = shape_of(call); !state_->chosen.contains(shape)) {
    state_->context.synchronise();  // algorithms are chosen by timing them, which no recording survives
    state_->chosen.insert(shape);
  }
  if (!whole_words(call.x) || !whole_words(call.w) || !whole_words(call.y)) {
    plain_gemm(state_->context, call);
    return state_->plain;
  }
  std::optional<Matrix> residual;
  if (call.residual != nullptr) residual = *call.residual;
  std::optional<NormBehind> norm;
  if (call.norm_behind != nullptr) norm = *call.norm_behind;
  check(emulated::submit(state_->context.stream(), [call, residual, norm] { compute(call, residual, norm); }), "multiplying");
  std::string& name = state_->names[{call.x.dtype, call.tf32}];
  if (name.empty()) name = "emulated " + std::string(call.tf32 ? "tf32" : name_of(call.x.dtype)) + " product";
  return name;
}

}  // namespace eaq::kernel_cuda
