// The driver of every product on a CPU: chooses kernels, converts the input once, cuts the product into tiles that threads take
// in turn, and finishes each tile while it lies in the thread's L2.
#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <mutex>

#include "eaq/base/base.h"
#include "eaq/kernel/gemm_tile.h"

namespace eaq {
namespace {

using gemm::PanelSpan;
using gemm::TileInput;
using gemm::TileKernel;

/// Rows and panels of one tile.
struct Tiling {
  std::int64_t rows = 0, panels = 0, row_blocks = 0, slices = 0;
};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Several tiles per thread even out their speeds; a tile of results and the rows it reads stay in L2.
Tiling tiling_of(std::int64_t m, const PanelLayout& layout, int threads) {
  constexpr std::int64_t row_limit = 192, column_limit = 256;
  Tiling t;
  t.row_blocks = ceil_div(m, row_limit);
  t.rows = ceil_div(ceil_div(m, t.row_blocks), 6) * 6;
  t.row_blocks = ceil_div(m, t.rows);
  t.panels = std::max<std::int64_t>(1, column_limit / layout.width);
  const std::int64_t wanted = threads == 1 ? 1 : 4 * threads;
  while (t.panels > 1 && t.row_blocks * ceil_div(layout.panels(), t.panels) < wanted) t.panels = ceil_div(t.panels, 2);
  t.slices = ceil_div(layout.panels(), t.panels);
  return t;
}

}  // namespace

std::string_view name_of(Arithmetic arithmetic) {
  constexpr std::array<std::string_view, 3> names{"f32", "bf16", "s8"};
  return names[static_cast<std::size_t>(arithmetic)];
}

struct PackedWeight::State {
  PanelLayout layout;
  Arithmetic arithmetic = Arithmetic::f32;
  Buffer data;
  std::vector<float> scales;  // s8: per output
  std::unique_ptr<TileKernel> kernel;
  std::atomic<bool> ran{false};
};

bool multiplies(Isa isa, Arithmetic arithmetic) { return arithmetic != Arithmetic::bf16 || isa >= Isa::avx512_vnni_bf16; }

PackedWeight::PackedWeight(DType storage, Arithmetic arithmetic, std::int64_t n, std::int64_t k, Isa isa)
    : state_(std::make_unique<State>()) {
  if (n <= 0 || k <= 0) throw Error(ErrorKind::input, "a weight of shape " + to_string(Shape{n, k}) + " cannot be packed");
  State& s = *state_;
  s.arithmetic = arithmetic;
  s.kernel = gemm::highway_f32(storage, isa);
  s.layout = {.dtype = storage, .n = n, .k = k, .width = gemm::highway_width(isa), .group = 1};
  s.data = Buffer(s.layout.bytes());
  std::memset(s.data.data(), 0, s.data.size());
}
PackedWeight::~PackedWeight() = default;

namespace {

// Blocks of 16 inputs: their lines stay in L1 while a panel's outputs are gathered.
template <class To, class From>
void pack_rows(const PanelLayout& layout, To* data, std::int64_t first, std::int64_t count, const From* rows) {
  for (std::int64_t begin = first; begin < first + count;) {
    const std::int64_t end = std::min((begin / layout.width + 1) * layout.width, first + count);
    for (std::int64_t k = 0; k < layout.k; k += 16) {
      const std::int64_t k_end = std::min(k + 16, layout.k);
      for (std::int64_t n = begin; n < end; ++n) {
        const From* row = rows + (n - first) * layout.k;
        for (std::int64_t i = k; i < k_end; ++i) data[layout.offset(n, i)] = static_cast<To>(row[i]);
      }
    }
    begin = end;
  }
}

template <class T>
void unpack_row(const PanelLayout& layout, const T* data, std::int64_t n, float* row) {
  for (std::int64_t k = 0; k < layout.k; ++k) row[k] = static_cast<float>(data[layout.offset(n, k)]);
}

float apply(Activation a, float x) {
  switch (a) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5f * x * (1 + std::erf(x * 0.70710678f));
    case Activation::gelu_tanh:
      return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::quick_gelu:
      return x / (1 + std::exp(-1.702f * x));
    case Activation::relu:
      return x > 0 || x != x ? x : 0;
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return x;
}

float read(const Matrix& m, std::int64_t r, std::int64_t c) {
  if (m.dtype == DType::f32) return reinterpret_cast<const float*>(m.row(r))[c];
  if (m.dtype == DType::bf16) return static_cast<float>(reinterpret_cast<const bf16*>(m.row(r))[c]);
  return static_cast<float>(reinterpret_cast<const f16*>(m.row(r))[c]);
}

void write(const Matrix& m, std::int64_t r, std::int64_t c, float value) {
  if (m.dtype == DType::f32)
    reinterpret_cast<float*>(m.row(r))[c] = value;
  else if (m.dtype == DType::bf16)
    reinterpret_cast<bf16*>(m.row(r))[c] = bf16(value);
  else
    reinterpret_cast<f16*>(m.row(r))[c] = f16(value);
}

void finish(const float* tile, std::int64_t stride, const Matrix& y, std::int64_t row, std::int64_t rows, std::int64_t column,
            std::int64_t columns, const Epilogue& e) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      float v = tile[r * stride + c];
      if (e.bias) v += e.bias[column + c];
      if (e.activation != Activation::none) v = apply(e.activation, v);
      if (e.residual) v += read(*e.residual, row + r, column + c);
      write(y, row + r, column + c, v);
    }
}

void check(const PanelLayout& layout, const Matrix& x, const Matrix& y, const Epilogue& e) {
  const bool fits = x.cols == layout.k && y.cols == layout.n && x.rows == y.rows &&
                    (e.residual == nullptr || (e.residual->rows == y.rows && e.residual->cols == y.cols));
  if (!fits)
    throw Error(ErrorKind::bug, "product of " + to_string(Shape{x.rows, x.cols}) + " with a weight " +
                                    to_string(Shape{layout.n, layout.k}) + " into " + to_string(Shape{y.rows, y.cols}));
}

}  // namespace

void PackedWeight::pack(std::int64_t first, std::int64_t count, const float* rows) {
  const PanelLayout& layout = state_->layout;
  switch (layout.dtype) {
    case DType::f32:
      return pack_rows(layout, state_->data.as<float>(), first, count, rows);
    case DType::bf16:
      return pack_rows(layout, state_->data.as<bf16>(), first, count, rows);
    default:
      return pack_rows(layout, state_->data.as<f16>(), first, count, rows);
  }
}

void PackedWeight::unpack(std::int64_t n, float* row) const {
  const PanelLayout& layout = state_->layout;
  switch (layout.dtype) {
    case DType::f32:
      return unpack_row(layout, state_->data.as<float>(), n, row);
    case DType::bf16:
      return unpack_row(layout, state_->data.as<bf16>(), n, row);
    default:
      return unpack_row(layout, state_->data.as<f16>(), n, row);
  }
}

void PackedWeight::multiply(CpuContext& context, const Matrix& x, const Matrix& y, const Epilogue& epilogue) const {
  const State& s = *state_;
  check(s.layout, x, y, epilogue);
  if (x.rows == 0) return;
  TileInput input{.data = x.data, .rows = x.rows, .k = x.cols, .stride = x.stride};
  if (x.dtype != s.kernel->input()) {
    auto* to = reinterpret_cast<float*>(context.shared_scratch(static_cast<std::size_t>(x.rows * x.cols) * sizeof(float)));
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t c = 0; c < x.cols; ++c) to[r * x.cols + c] = read(x, r, c);
    input = {.data = reinterpret_cast<const std::byte*>(to), .rows = x.rows, .k = x.cols, .stride = x.cols};
  }
  const Tiling tiling = tiling_of(x.rows, s.layout, context.threads());
  const std::size_t tile_bytes = static_cast<std::size_t>(tiling.rows * tiling.panels * s.layout.width) * sizeof(float);
  const std::size_t scratch_bytes = s.kernel->scratch(s.layout, tiling.rows, tiling.panels);
  context.parallel(tiling.row_blocks * tiling.slices, [&](std::int64_t task, int thread) {
    const std::int64_t row = task % tiling.row_blocks * tiling.rows, first = task / tiling.row_blocks * tiling.panels;
    TileInput rows = input;
    rows.data += static_cast<std::size_t>(row * input.stride) * size_of(s.kernel->input());
    rows.rows = std::min(tiling.rows, x.rows - row);
    const PanelSpan panels{&s.layout, s.data.data(), first, std::min(tiling.panels, s.layout.panels() - first)};
    std::byte* tile = context.scratch(thread, tile_bytes + scratch_bytes);
    s.kernel->run(rows, panels, tile, tile + tile_bytes, thread);
    const std::int64_t column = first * s.layout.width;
    finish(reinterpret_cast<const float*>(tile), panels.columns(), y, row, rows.rows, column,
           std::min(panels.columns(), y.cols - column), epilogue);
  });
  state_->ran.store(true, std::memory_order_relaxed);
}

const PanelLayout& PackedWeight::layout() const { return state_->layout; }
Arithmetic PackedWeight::arithmetic() const { return state_->arithmetic; }
std::size_t PackedWeight::bytes() const { return state_->data.size() + state_->scales.size() * sizeof(float); }
std::vector<std::string> PackedWeight::kernels() const {
  return state_->ran.load(std::memory_order_relaxed) ? std::vector<std::string>{state_->kernel->name()}
                                                     : std::vector<std::string>{};
}

}  // namespace eaq
