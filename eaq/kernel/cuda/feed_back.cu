// Decoding that never leaves the card: the chosen token becomes the next input.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/elements.cuh"
#include "eaq/kernel/cuda/largest.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/leave_out.h"
#include "eaq/kernel/cuda/ptx.cuh"
#include "eaq/kernel/sampling.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int blocks = 96;  // a row: one multiprocessor alone would read 50,257 logits for 20 us

struct alignas(8) Parts {  // what each block found
  unsigned arrived;
  float values[blocks];
  std::int32_t indices[blocks], non_finite[blocks];
};

__global__ void __launch_bounds__(threads_that_judge)
    feed_back_kernel(int cols, Rows logits, Sampling how, std::int32_t* ids, std::int32_t* at, std::int32_t* past,
                     std::int32_t* non_finite, Parts* parts, const LeftOut* left_out) {
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const int sequence = static_cast<int>(blockIdx.y);
  const float* row = reinterpret_cast<const float*>(logits.data) + sequence * logits.stride;
  const bool draws = how.temperature > 0;
  const std::uint64_t key = draws ? sampling::draw_key(how.seed, sequence, at[sequence] + 1) : 0;
  const std::uint64_t lowest = left_out != nullptr ? left_out[sequence].lowest : 0;
  const int bits = sampling::index_bits(cols);
  Largest largest;
  int bad = 0;
  for (int c = static_cast<int>(blockIdx.x * threads_that_judge + threadIdx.x); c < cols; c += blocks * threads_that_judge) {
    if (sampling::rank_of(__float_as_uint(row[c]), c, cols, bits) >= lowest)
      largest.take(draws ? sampling::drawn_score(row[c], how.temperature, key, c) : row[c], c);
    bad += isfinite(row[c]) ? 0 : 1;
  }
  largest = largest_of_block(largest);
  bad = static_cast<int>(sum_over_block(bad));
  volatile Parts& all = parts[sequence];
  if (threadIdx.x == 0) {
    all.values[blockIdx.x] = largest.value;
    all.indices[blockIdx.x] = largest.index;
    all.non_finite[blockIdx.x] = bad;
  }
  if (!is_last_of_row(&parts[sequence].arrived)) return;
  largest = {}, bad = 0;
  if (const auto b = static_cast<int>(threadIdx.x); b < blocks) {
    largest.take(all.values[b], all.indices[b]);
    bad = all.non_finite[b];
  }
  largest = largest_of_block(largest);
  bad = static_cast<int>(sum_over_block(bad));
  if (threadIdx.x != 0) return;
  ids[sequence] = largest.index < cols ? largest.index : 0;
  at[sequence] += 1;
  past[sequence] += 1;
  non_finite[sequence] += bad;
}

}  // namespace

// Memory of `sequences` Parts and then as many LeftOut.
std::size_t feed_back_bytes(std::int64_t sequences) {
  return static_cast<std::size_t>(sequences) * (sizeof(Parts) + sizeof(LeftOut));
}

void feed_back(CudaContext& context, const Matrix& logits, const Sampling& how, std::int32_t* ids, std::int32_t* at,
               std::int32_t* past, std::int32_t* non_finite, std::byte* parts) {
  static_assert(sizeof(Parts) % alignof(LeftOut) == 0);
  auto* left_out = reinterpret_cast<LeftOut*>(parts + static_cast<std::size_t>(logits.rows) * sizeof(Parts));
  if (how.leaves_out()) leave_out(context, logits, how, left_out);
  launch(context, "choosing tokens", {dim3(blocks, static_cast<unsigned>(logits.rows)), dim3(threads_that_judge), 0},
         feed_back_kernel, static_cast<int>(logits.cols), rows_of(logits), how, ids, at, past, non_finite,
         reinterpret_cast<Parts*>(parts), how.leaves_out() ? left_out : nullptr);
}

}  // namespace eaq::kernel_cuda
