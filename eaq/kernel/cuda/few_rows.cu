// A product for few rows, as decoding has them: its time is that of reading the weight once. A warp has a few outputs and reads
// their rows of the weight, 16 bytes a lane; the input waits in shared memory as floats. The weight is on its way to the cache
// before the kernel ahead has ended. One row has a kernel of its own where it fits (one_row.cu).
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/few_rows.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;
constexpr std::size_t most_shared = 60 * 1024;  // every architecture has 64 KiB, of which static arrays take some

// The sum of one row's values over the warps that have it.
template <int WarpsARow>
__device__ float row_sum(float x, float* parts) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  x = warp_sum(x);
  __syncthreads();  // an earlier sum may still be read
  if (threadIdx.x % 32 == 0) parts[warp] = x;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < WarpsARow; ++i) sum += parts[warp / WarpsARow * WarpsARow + i];
  return sum;
}

// Rows of the input as floats in shared memory, normed where that is asked for. A thread meets the same elements in every pass.
// `gamma` and `beta`: of its first elements, read before.
template <int R>
__device__ void stage_input(const FewRows& f, float* x, const Packed& gamma, const Packed& beta) {
  constexpr int warps_a_row = warps / R;
  __shared__ float parts[warps];
  const int row = static_cast<int>(threadIdx.x) / (32 * warps_a_row);
  const auto for_own = [&](auto function) {
    for (int col = static_cast<int>(threadIdx.x) % (32 * warps_a_row) * 8; col < f.k; col += 32 * warps_a_row * 8)
      function(x + row * f.k + col, col);
  };
  float sum = 0, squares = 0;
  for_own([&](float* own, int col) {
    float values[8] = {};
    if (row < f.rows) load<8>(values, f.x, row, col);
#pragma unroll
    for (int e = 0; e < 8; ++e) own[e] = values[e], sum += values[e];
  });
  if (f.norm.gamma != nullptr) {
    const float mean = row_sum<warps_a_row>(sum, parts) / static_cast<float>(f.k);
    for_own([&](float* own, int) {
#pragma unroll
      for (int e = 0; e < 8; ++e) squares += (own[e] - mean) * (own[e] - mean);
    });
    const float scale = rsqrtf(row_sum<warps_a_row>(squares, parts) / static_cast<float>(f.k) + f.norm.epsilon);
    const int first_col = static_cast<int>(threadIdx.x) % (32 * warps_a_row) * 8;
    for_own([&](float* own, int col) {
      float g[8], b[8];
      unpack(g, col == first_col ? gamma : load_packed(vector_of(f.norm.gamma), 0, col), DType::f32);
      unpack(b, col == first_col ? beta : load_packed(vector_of(f.norm.beta), 0, col), DType::f32);
#pragma unroll
      for (int e = 0; e < 8; ++e) own[e] = (own[e] - mean) * scale * g[e] + b[e];
    });
  }
  __syncthreads();
}

// What eight weights add to each output's sums.
template <int R, int Outputs>
__device__ void add_products(float (&sums)[Outputs][R], const FewRows& f, const Packed (&packed)[Outputs], const float* x,
                             int col) {
  float weights[Outputs][8];
#pragma unroll
  for (int o = 0; o < Outputs; ++o) unpack(weights[o], packed[o], f.w.dtype);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const float4 low = *reinterpret_cast<const float4*>(x + r * f.k + col),
                 high = *reinterpret_cast<const float4*>(x + r * f.k + col + 4);
#pragma unroll
    for (int o = 0; o < Outputs; ++o) {
      const float(&w)[8] = weights[o];
      sums[o][r] += w[0] * low.x + w[1] * low.y + w[2] * low.z + w[3] * low.w + w[4] * high.x + w[5] * high.y + w[6] * high.z +
                    w[7] * high.w;
    }
  }
}

// `sharers`: warps that share outputs, each with a part of k.
template <int R, int Outputs, Storage S>
__global__ void __launch_bounds__(threads) few_rows_kernel(FewRows f, int sharers) {
  assume<S>(f.x, f.w);
  auto* x = reinterpret_cast<float*>(dynamic_shared());  // [R][k]
  __shared__ float parts[warps][Outputs * R];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int groups = warps / sharers, share = warp % sharers;
  const int block_first = static_cast<int>(blockIdx.x) * groups * Outputs, first = block_first + warp / sharers * Outputs;

  const int first_of_lane = (share * 32 + lane) * 8, step = sharers * 32 * 8;
  const std::int64_t row_bytes = f.w.stride * (f.w.dtype == DType::f32 ? 4 : 2);
  const std::int64_t last = min(block_first + groups * Outputs, f.n), bytes = (last - block_first) * row_bytes;
  for (std::int64_t at = static_cast<std::int64_t>(threadIdx.x) * 128; at < bytes; at += threads * 128)
    prefetch_l2(f.w.data + block_first * row_bytes + at);
  Packed gamma{}, beta{};
  if (const int at = static_cast<int>(threadIdx.x) % (32 * (warps / R)) * 8; f.norm.gamma != nullptr && at < f.k)
    gamma = load_packed(vector_of(f.norm.gamma), 0, at), beta = load_packed(vector_of(f.norm.beta), 0, at);
  // A thread's result: its place, and what is added to it. Most have none.
  const int results = groups * Outputs * R, own = static_cast<int>(threadIdx.x);
  const auto row_of = [&](int i) { return i % (Outputs * R) % R; };
  const auto col_of = [&](int i) { return block_first + i / (Outputs * R) * Outputs + i % (Outputs * R) / R; };
  const bool has_result = own < results && row_of(own) < f.rows && col_of(own) < f.n;
  float bias[1] = {0}, residual[1] = {0};
  if (has_result && f.bias.data != nullptr) load<1>(bias, f.bias, 0, col_of(own));
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (has_result && f.residual.data != nullptr) load<1>(residual, f.residual, row_of(own), col_of(own));

  stage_input<R>(f, x, gamma, beta);
  float sums[Outputs][R] = {};
  for (int at = first_of_lane; at < f.k; at += step) {
    Packed packed[Outputs];
#pragma unroll
    for (int o = 0; o < Outputs; ++o) packed[o] = load_packed(f.w, min(first + o, f.n - 1), at);
    add_products(sums, f, packed, x, at);
  }
#pragma unroll
  for (int o = 0; o < Outputs; ++o)
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const float sum = warp_sum(sums[o][r]);
      if (lane == 0) parts[warp][o * R + r] = sum;
    }
  __syncthreads();

  static_assert(warps * Outputs * R <= threads);
  if (!has_result) return;
  const int group = own / (Outputs * R), within = own % (Outputs * R);
  float sum = 0;
  for (int s = 0; s < sharers; ++s) sum += parts[group * sharers + s][within];
  const float value[1] = {activate(f.activation, sum + bias[0]) + residual[0]};
  store<1>(f.y, row_of(own), col_of(own), value);
}

int rows_held(std::int64_t rows) { return rows == 1 ? 1 : rows <= 4 ? 4 : static_cast<int>(most_few_rows); }
std::size_t shared_bytes(const GemmCall& c) { return static_cast<std::size_t>(rows_held(c.x.rows) * c.x.cols) * sizeof(float); }

}  // namespace

bool fits_few_rows(const GemmCall& c) {
  return c.w_stays && c.x.rows <= most_few_rows && c.x.dtype == c.w.dtype && c.w.stride >= c.x.cols && !c.tf32 &&
         shared_bytes(c) <= most_shared && moved_at_once({c.x, c.w}) == 8 && (c.norm == nullptr || moves_eight(*c.norm));
}

const std::string& multiply_few_rows(CudaContext& context, const GemmCall& c) {
  static const std::string name = "eaq few rows", name_of_one = "eaq one row";
  if (c.x.rows == 0) return name;
  FewRows f{.rows = static_cast<int>(c.x.rows),
            .n = static_cast<int>(c.w.rows),
            .k = static_cast<int>(c.x.cols),
            .x = rows_of(c.x),
            .w = rows_of(c.w),
            .y = rows_of(c.y),
            .bias = {const_cast<std::byte*>(c.bias), 0, c.y.dtype},
            .residual = c.residual != nullptr ? rows_of(*c.residual) : Rows{nullptr, 0, DType::f32},
            .activation = c.activation,
            .norm = c.norm != nullptr ? *c.norm : NormVectors{}};
  if (fits_one_row(f)) return multiply_one_row(context, f), name_of_one;
  const int sharers = f.k >= 2048 ? 4 : 1;
  const auto submit = [&]<int R, int Outputs>() {
    const int a_block = warps / sharers * Outputs;
    const Launch how{dim3(static_cast<unsigned>((f.n + a_block - 1) / a_block)), dim3(threads), shared_bytes(c)};
    with_storage({f.w.dtype},
                 [&]<Storage S>() { launch(context, "a product of few rows", how, few_rows_kernel<R, Outputs, S>, f, sharers); });
  };
  // Enough blocks for every multiprocessor come first, then several loads at once for each lane.
  const auto with_outputs = [&]<int R>() {
    if (f.n >= 16384) return submit.template operator()<R, 4>();
    if (f.n >= 2048 || sharers > 1) return submit.template operator()<R, 2>();
    submit.template operator()<R, 1>();
  };
  if (f.rows == 1)
    with_outputs.template operator()<1>();
  else if (f.rows <= 4)
    with_outputs.template operator()<4>();
  else
    with_outputs.template operator()<8>();
  return name;
}

}  // namespace eaq::kernel_cuda
