#include "eaq/kernel/cuda.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "eaq/kernel/cuda/elements.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int block = 256;

// One thread a group of V elements of an elementwise kernel.
struct Elementwise {
  std::int64_t rows, groups;  // groups a row
  dim3 grid() const { return dim3(static_cast<unsigned>((rows * groups + block - 1) / block)); }
};
Elementwise elementwise(const Matrix& m, int at_once) { return {m.rows, (m.cols + at_once - 1) / at_once}; }

template <int V, class Function>
__device__ void for_own_group(const Elementwise& work, Function function) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  wait_for_earlier_kernel();
  if (i < work.rows * work.groups) function(i / work.groups, i % work.groups * V);
  let_next_kernel_start();
}

template <int V>
__global__ void activation_kernel(Elementwise work, Activation activation, Rows x, Rows y) {
  for_own_group<V>(work, [&](std::int64_t row, std::int64_t col) {
    float values[V];
    load<V>(values, x, row, col);
#pragma unroll
    for (float& value : values) value = activate(activation, value);
    store<V>(y, row, col, values);
  });
}

template <int V>
__global__ void add_kernel(Elementwise work, Rows a, Rows b, Rows y) {
  for_own_group<V>(work, [&](std::int64_t row, std::int64_t col) {
    float left[V], right[V];
    load<V>(left, a, row, col);
    load<V>(right, b, row, col);
#pragma unroll
    for (int i = 0; i < V; ++i) left[i] += right[i];
    store<V>(y, row, col, left);
  });
}

template <int V>
__global__ void convert_kernel(Elementwise work, Rows x, Rows y) {
  for_own_group<V>(work, [&](std::int64_t row, std::int64_t col) {
    float values[V];
    load<V>(values, x, row, col);
    store<V>(y, row, col, values);
  });
}

template <int V>
__global__ void select_kernel(Elementwise work, const std::int32_t* row_begin, bool last, Rows x, Rows y) {
  for_own_group<V>(work, [&](std::int64_t row, std::int64_t col) {
    float values[V];
    load<V>(values, x, last ? row_begin[row + 1] - 1 : row_begin[row], col);
    store<V>(y, row, col, values);
  });
}

// ---- Norms: a warp a row, whose values stay in registers.

// What a warp holds of a row: lane l has the groups l, l + 32, ... of V elements, Held floats in all.
template <int V, int Held>
struct HeldRow {
  float values[Held / V][V];

  template <class Function>
  __device__ void for_each_group(int cols, Function function) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int group = 0; group < Held / V; ++group) {
      const int col = (lane + 32 * group) * V;
      if (col < cols) function(values[group], col);
    }
  }

  __device__ void norm(const NormVectors& norm, int cols) {
    float sum = 0;
    for_each_group(cols, [&](float(&x)[V], int) {
#pragma unroll
      for (float one : x) sum += one;
    });
    const float mean = warp_sum(sum) / static_cast<float>(cols);
    float squares = 0;
    for_each_group(cols, [&](float(&x)[V], int) {
#pragma unroll
      for (float& one : x) one -= mean, squares += one * one;
    });
    const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(cols) + norm.epsilon);
    for_each_group(cols, [&](float(&x)[V], int col) {
      float gamma[V], beta[V];
      load<V>(gamma, vector_of(norm.gamma), 0, col);
      load<V>(beta, vector_of(norm.beta), 0, col);
#pragma unroll
      for (int i = 0; i < V; ++i) x[i] = x[i] * scale * gamma[i] + beta[i];
    });
  }
};

constexpr int warps = 4;  // a block: its rows
// Blocks on a multiprocessor: what is on its way from the L2 to all of them together is what fills its bandwidth.
constexpr int blocks_at_once(int v, int held) { return v == 1 ? 1 : held <= 32 ? 8 : 4; }

template <int V, int Held, Storage S>
__global__ void __launch_bounds__(32 * warps, blocks_at_once(V, Held))
    layer_norm_kernel(NormVectors norm, std::int64_t rows, int cols, Rows x, Rows added, Rows sum, Rows y) {
  assume<S>(x, added, sum, y);
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (row >= rows) return;
  HeldRow<V, Held> held;
  held.for_each_group(cols, [&](float(&values)[V], int col) {
    load<V>(values, x, row, col);
    if (added.data == nullptr) return;
    float more[V];
    load<V>(more, added, row, col);
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] += more[i];
    if (sum.data != nullptr) store<V>(sum, row, col, values);
  });
  held.norm(norm, cols);
  held.for_each_group(cols, [&](float(&values)[V], int col) { store<V>(y, row, col, values); });
}

template <int V, int Held, Storage S>
__global__ void __launch_bounds__(32 * warps, blocks_at_once(V, Held))
    embed_kernel(NormVectors norm, std::int64_t rows, int cols, Rows tokens, Rows positions, const std::int32_t* ids,
                 const std::int32_t* at, Rows y) {
  assume<S>(tokens, positions, y);
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (row >= rows) return;
  HeldRow<V, Held> held;
  held.for_each_group(cols, [&](float(&values)[V], int col) {
    float more[V];
    load<V>(values, tokens, ids[row], col);
    load<V>(more, positions, at[row], col);
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] += more[i];
  });
  if (norm.gamma != nullptr) held.norm(norm, cols);
  held.for_each_group(cols, [&](float(&values)[V], int col) { store<V>(y, row, col, values); });
}

// ---- Rows too wide for a warp's registers: a block a row, read once per pass.

__device__ float block_sum(float x) {
  __shared__ float parts[block / 32];
  x = warp_sum(x);
  __syncthreads();  // an earlier sum may still be read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (const float part : parts) sum += part;
  return sum;
}

__global__ void wide_norm_kernel(NormVectors norm, int cols, Rows x, Rows added, Rows sum, Rows y) {
  const std::int64_t row = blockIdx.x;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  // Each thread meets the same columns in every pass, so that y may be x.
  const auto value = [&](int col) {
    float one[1], more[1] = {0};
    load<1>(one, x, row, col);
    if (added.data != nullptr) load<1>(more, added, row, col);
    return one[0] + more[0];
  };
  float part = 0, squares = 0;
  for (int col = static_cast<int>(threadIdx.x); col < cols; col += block) part += value(col);
  const float mean = block_sum(part) / static_cast<float>(cols);
  for (int col = static_cast<int>(threadIdx.x); col < cols; col += block) squares += (value(col) - mean) * (value(col) - mean);
  const float scale = rsqrtf(block_sum(squares) / static_cast<float>(cols) + norm.epsilon);
  for (int col = static_cast<int>(threadIdx.x); col < cols; col += block) {
    const float whole[1] = {value(col)}, normed[1] = {(whole[0] - mean) * scale * norm.gamma[col] + norm.beta[col]};
    if (sum.data != nullptr) store<1>(sum, row, col, whole);
    store<1>(y, row, col, normed);
  }
}

// A warp a row: all of it is the first part's, and the others are zeros.
template <int V>
__global__ void __launch_bounds__(32 * warps, 8)
    moments_kernel(std::int64_t rows, int cols, Rows x, RowMoments to, float* moments) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (row >= rows) return;
  float sum = 0, squares = 0;
  for (int col = lane * V; col < cols; col += 32 * V) {
    float values[V];
    load<V>(values, x, row, col);
#pragma unroll
    for (const float value : values) sum += value, squares += value * value;
  }
  sum = warp_sum(sum), squares = warp_sum(squares);
  if (lane >= to.parts) return;
  moments[lane * to.rows + row] = lane == 0 ? sum : 0;
  moments[(to.parts + lane) * to.rows + row] = lane == 0 ? squares : 0;
}

__global__ void wide_embed_kernel(int cols, Rows tokens, Rows positions, const std::int32_t* ids, const std::int32_t* at,
                                  Rows y) {
  const std::int64_t row = blockIdx.x;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  for (int col = static_cast<int>(threadIdx.x); col < cols; col += block) {
    float token[1], position[1];
    load<1>(token, tokens, ids[row], col);
    load<1>(position, positions, at[row], col);
    const float both[1] = {token[0] + position[0]};
    store<1>(y, row, col, both);
  }
}

Rows optional_rows(const Matrix* m) { return m != nullptr ? rows_of(*m) : Rows{nullptr, 0, DType::f32}; }

// Calls `run` with V, Held and the storage as compile-time constants; false where a row is too wide for a warp.
template <class Run>
bool with_held_row(int at_once, std::int64_t cols, std::initializer_list<DType> storages, Run run) {
  if (cols > 64 * 32) return false;
  const auto with_held = [&]<int V, Storage S>() {
    if (cols <= 24 * 32)
      run.template operator()<V, 24, S>();
    else if (cols <= 32 * 32)
      run.template operator()<V, 32, S>();
    else
      run.template operator()<V, 64, S>();
  };
  if (at_once == 8)
    with_storage(storages, [&]<Storage S>() { with_held.template operator()<8, S>(); });
  else
    with_held.template operator()<1, Storage::mixed>();
  return true;
}

Launch warp_a_row(std::int64_t rows) { return {dim3(static_cast<unsigned>((rows + warps - 1) / warps)), dim3(32 * warps), 0}; }
Launch block_a_row(std::int64_t rows) { return {dim3(static_cast<unsigned>(rows)), dim3(block), 0}; }

// Launches the kernel for eight elements at once, or the one for single ones.
template <class Kernel, class... Arguments>
void launch_elementwise(CudaContext& context, const char* what, const Matrix& shape, int at_once, Kernel eight, Kernel one,
                        Arguments... arguments) {
  if (shape.rows == 0) return;
  const Elementwise work = elementwise(shape, at_once);
  launch(context, what, {work.grid(), dim3(block), 0}, at_once == 8 ? eight : one, work, arguments...);
}

}  // namespace

void activation(CudaContext& context, Activation activation, const Matrix& x, const Matrix& y) {
  launch_elementwise(context, "an activation", x, moved_at_once({x, y}), activation_kernel<8>, activation_kernel<1>, activation,
                     rows_of(x), rows_of(y));
}

void add(CudaContext& context, const Matrix& a, const Matrix& b, const Matrix& y) {
  launch_elementwise(context, "an addition", a, moved_at_once({a, b, y}), add_kernel<8>, add_kernel<1>, rows_of(a), rows_of(b),
                     rows_of(y));
}

void convert(CudaContext& context, const Matrix& x, const Matrix& y) {
  launch_elementwise(context, "a conversion", x, moved_at_once({x, y}), convert_kernel<8>, convert_kernel<1>, rows_of(x),
                     rows_of(y));
}

void select_rows(CudaContext& context, const std::int32_t* row_begin, bool last, const Matrix& x, const Matrix& y) {
  launch_elementwise(context, "a selection of rows", y, moved_at_once({x, y}), select_kernel<8>, select_kernel<1>, row_begin,
                     last, rows_of(x), rows_of(y));
}

void layer_norm(CudaContext& context, const NormVectors& norm, const Matrix& x, const Matrix& y, const Matrix* added,
                const Matrix* sum) {
  if (x.rows == 0) return;
  const Matrix &more = added != nullptr ? *added : x, &kept = sum != nullptr ? *sum : x;
  const int at_once = moves_eight(norm) ? moved_at_once({x, y, more, kept}) : 1, cols = static_cast<int>(x.cols);
  const bool done = with_held_row(at_once, x.cols, {x.dtype, y.dtype, more.dtype, kept.dtype}, [&]<int V, int Held, Storage S>() {
    launch(context, "a layer norm", warp_a_row(x.rows), layer_norm_kernel<V, Held, S>, norm, x.rows, cols, rows_of(x),
           optional_rows(added), optional_rows(sum), rows_of(y));
  });
  if (!done)
    launch(context, "a layer norm", block_a_row(x.rows), wide_norm_kernel, norm, cols, rows_of(x), optional_rows(added),
           optional_rows(sum), rows_of(y));
}

void row_moments(CudaContext& context, const Matrix& x, float* moments) {
  const RowMoments to = RowMoments::of(x.rows, x.cols);
  if (to.parts > RowMoments::most_parts) throw Error(ErrorKind::bug, "sums of rows of " + std::to_string(x.cols) + " elements");
  launch(context, "sums of rows", warp_a_row(x.rows), moved_at_once({x}) == 8 ? moments_kernel<8> : moments_kernel<1>, x.rows,
         static_cast<int>(x.cols), rows_of(x), to, moments);
}

void embed(CudaContext& context, const Matrix& tokens, const Matrix& positions, const std::int32_t* ids, const std::int32_t* at,
           const Matrix& y, const NormVectors* norm) {
  if (y.rows == 0) return;
  const int at_once = norm == nullptr || moves_eight(*norm) ? moved_at_once({tokens, positions, y}) : 1,
            cols = static_cast<int>(y.cols);
  const bool done = with_held_row(at_once, y.cols, {tokens.dtype, positions.dtype, y.dtype}, [&]<int V, int Held, Storage S>() {
    launch(context, "an embedding", warp_a_row(y.rows), embed_kernel<V, Held, S>, norm != nullptr ? *norm : NormVectors{}, y.rows,
           cols, rows_of(tokens), rows_of(positions), ids, at, rows_of(y));
  });
  if (done) return;
  launch(context, "an embedding", block_a_row(y.rows), wide_embed_kernel, cols, rows_of(tokens), rows_of(positions), ids, at,
         rows_of(y));
  if (norm != nullptr) layer_norm(context, *norm, y, y);
}

}  // namespace eaq::kernel_cuda
