// Which tokens a draw leaves out: of each row of logits the lowest rank that may still be drawn (sampling::rank_of).
//
// It is found digit by digit from the top: a pass sums, of all tokens that have the digits found so far, how many have
// each next digit, or what they weigh; the last block to end looks at which digit the sum from the top reaches what is wanted.
// Whole numbers, so that no order of blocks makes a difference.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/elements.cuh"
#include "eaq/kernel/cuda/largest.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/leave_out.h"
#include "eaq/kernel/cuda/ptx.cuh"
#include "eaq/kernel/sampling.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = threads_that_judge, own_tokens = 2;
constexpr int digit_bits = LeftOut::digit_bits, digits = 1 << digit_bits;
// A block's sums are in two halves, as only 32 bits can be added to in shared memory at once: 512 halves of a weight fit.
constexpr int half_bits = 22;
static_assert(threads * own_tokens < 1 << (32 - half_bits) && sampling::weight_bits <= 2 * half_bits);
constexpr std::size_t halves_bytes = 2 * digits * sizeof(unsigned);

struct Pass {
  int shift, index_bits;
  bool first, last;
};

// What tokens that are in count for: one each, or their weight.
enum class Sum { tokens, weights };

// The thread's tokens of the block's row.
template <class Function>
__device__ void for_own_tokens(int cols, const Rows& logits, Function function) {
  const float* row = reinterpret_cast<const float*>(logits.data) + static_cast<std::int64_t>(blockIdx.y) * logits.stride;
  for (unsigned i = 0; i < own_tokens; ++i)
    if (const int c = static_cast<int>((blockIdx.x * own_tokens + i) * threads + threadIdx.x); c < cols) function(row[c], c);
}

__device__ unsigned ordered(float x) { return static_cast<unsigned>(sampling::rank_of(__float_as_uint(x), 0, 1, 0)); }
__device__ float of_ordered(unsigned x) { return __uint_as_float((x >> 31) != 0 ? x & 0x7fffffffu : ~x); }

__global__ void __launch_bounds__(threads) largest_kernel(int cols, Rows logits, LeftOut* rows) {
  wait_for_earlier_kernel();
  let_next_kernel_start();
  Largest largest;
  for_own_tokens(cols, logits, [&](float logit, int c) { largest.take(logit, c); });
  largest = largest_of_block(largest);
  if (threadIdx.x == 0 && largest.index < cols) atomicMax(&rows[blockIdx.y].largest, ordered(largest.value));
}

template <Sum What>
__global__ void __launch_bounds__(threads) narrow_kernel(int cols, Rows logits, Sampling how, Pass pass, LeftOut* rows) {
  auto* low = reinterpret_cast<unsigned*>(dynamic_shared());
  unsigned* high = low + digits;
  for (int d = static_cast<int>(threadIdx.x); d < 2 * digits; d += threads) low[d] = 0;
  __syncthreads();
  wait_for_earlier_kernel();
  let_next_kernel_start();
  LeftOut& found = rows[blockIdx.y];
  const std::uint64_t known = found.known, lowest = how.top_k > 0 ? found.lowest : 0;  // of the k likeliest, for their weights
  const float largest = What == Sum::weights ? of_ordered(found.largest) : 0;
  for_own_tokens(cols, logits, [&](float logit, int c) {
    const std::uint64_t rank = sampling::rank_of(__float_as_uint(logit), c, cols, pass.index_bits);
    if constexpr (What == Sum::weights)
      if (rank < lowest) return;
    if (!pass.first && (rank ^ known) >> (pass.shift + digit_bits) != 0) return;
    const std::uint64_t counts = What == Sum::tokens ? 1 : sampling::weight_of(logit, largest, how.temperature);
    const auto digit = static_cast<unsigned>(rank >> pass.shift) & (digits - 1);
    if (const auto part = static_cast<unsigned>(counts) & ((1u << half_bits) - 1); part != 0) atomicAdd(&low[digit], part);
    if (const auto part = static_cast<unsigned>(counts >> half_bits); part != 0) atomicAdd(&high[digit], part);
  });
  __syncthreads();
  for (int d = static_cast<int>(threadIdx.x); d < digits; d += threads) {
    const unsigned long long sum = (static_cast<unsigned long long>(high[d]) << half_bits) + low[d];
    if (sum != 0) atomicAdd(&found.sums[d], sum);
  }
  if (!is_last_of_row(&found.arrived)) return;

  // Each thread has some digits, from the top down; what is above them all is summed over threads.
  constexpr int own = digits / threads;
  const int top = digits - 1 - static_cast<int>(threadIdx.x) * own;
  volatile unsigned long long* all = found.sums;
  unsigned long long mine[own], up_to_mine = 0;
  for (int i = 0; i < own; ++i) {
    up_to_mine += mine[i] = all[top - i];
    all[top - i] = 0;  // for the next pass
  }
  __shared__ unsigned long long up_to[threads];
  up_to[threadIdx.x] = up_to_mine;
  const unsigned long long just_mine = up_to_mine;
  for (unsigned reach = 1; reach < threads; reach *= 2) {
    __syncthreads();
    const unsigned long long more = threadIdx.x >= reach ? up_to[threadIdx.x - reach] : 0;
    __syncthreads();
    up_to[threadIdx.x] = up_to_mine += more;
  }
  __syncthreads();
  const unsigned long long total = up_to[threads - 1];
  std::uint64_t left = found.left;
  if (pass.first)
    left = What == Sum::tokens ? static_cast<std::uint64_t>(min(how.top_k, cols)) : sampling::wanted_weight(how.top_p, total);
  __syncthreads();                                                               // all have read what one of them changes
  if (What == Sum::weights && pass.last && threadIdx.x == 0) found.largest = 0;  // for the next token
  unsigned long long above = up_to_mine - just_mine;
  if (above >= left || up_to_mine < left) return;
  int digit = top;
  for (int i = 0; above + mine[i] < left; ++i) above += mine[i], --digit;
  const std::uint64_t now = (pass.first ? 0 : known) | static_cast<std::uint64_t>(digit) << pass.shift;
  found.left = left - above;
  found.known = now;
  if (pass.last) found.lowest = now;
}

dim3 grid_of(const Matrix& logits) {
  constexpr std::int64_t block = threads * own_tokens;
  return dim3(static_cast<unsigned>((logits.cols + block - 1) / block), static_cast<unsigned>(logits.rows));
}

template <Sum What>
void narrow(const CudaContext& context, const Matrix& logits, const Sampling& how, LeftOut* rows) {
  const int index_bits = sampling::index_bits(logits.cols), passes = (32 + index_bits + digit_bits - 1) / digit_bits;
  for (int i = 0; i < passes; ++i)
    launch(context, "leaving out tokens", {grid_of(logits), dim3(threads), halves_bytes}, narrow_kernel<What>,
           static_cast<int>(logits.cols), rows_of(logits), how,
           Pass{(passes - 1 - i) * digit_bits, index_bits, i == 0, i + 1 == passes}, rows);
}

}  // namespace

void leave_out(const CudaContext& context, const Matrix& logits, const Sampling& how, LeftOut* rows) {
  if (how.top_k > 0) narrow<Sum::tokens>(context, logits, how, rows);
  if (how.top_p >= 1) return;
  launch(context, "finding the likeliest token", {grid_of(logits), dim3(threads), 0}, largest_kernel,
         static_cast<int>(logits.cols), rows_of(logits), rows);
  narrow<Sum::weights>(context, logits, how, rows);
}

}  // namespace eaq::kernel_cuda
