#include "eaq/kernel/cuda.h"

#include <cuda_runtime.h>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/hopper/attention.h"
#include "eaq/kernel/cuda/hopper/row_attention.h"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

// New keys and values go to their places in the cache.
__global__ void append_kernel(AttentionView a, const std::int32_t* sequence_of, std::int64_t rows) {
  const int groups = 2 * a.width();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, row = i / groups;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (row >= rows) return;
  const int col = static_cast<int>(i % groups), sequence = sequence_of[row];
  const std::int64_t place = sequence * a.capacity + a.past[sequence] + row - a.row_begin[sequence];
  float value[1];
  load<1>(value, a.qkv, row, a.width() + col);
  if (col < a.width())
    store<1>(a.keys, place, col, value);
  else
    store<1>(a.values, place, col - a.width(), value);
}

void append(CudaContext& context, const AttentionCall& call) {
  constexpr int block = 256;
  const std::int64_t elements = call.rows * 2 * call.heads * call.head_dim;
  launch(context, "appending to the cache", {dim3(static_cast<unsigned>((elements + block - 1) / block)), dim3(block), 0},
         append_kernel, view_of(call), call.sequence_of, call.rows);
}

}  // namespace

AttentionView view_of(const AttentionCall& c) {
  const std::int64_t width = static_cast<std::int64_t>(c.heads) * c.head_dim,
                     bytes = static_cast<std::int64_t>(size_of(c.qkv.dtype));
  AttentionView a{};
  a.heads = c.heads, a.head_dim = c.head_dim, a.causal = c.causal, a.first_query_only = c.first_query_only, a.scale = c.scale;
  a.qkv = rows_of(c.qkv), a.out = rows_of(c.out);
  a.cached = c.cache.keys != nullptr;
  if (a.cached) {
    a.keys = {c.cache.keys, width, c.cache.dtype}, a.values = {c.cache.values, width, c.cache.dtype};
    a.capacity = c.cache.capacity, a.past = c.past;
  } else {
    a.keys = {c.qkv.data + width * bytes, c.qkv.stride, c.qkv.dtype};
    a.values = {c.qkv.data + 2 * width * bytes, c.qkv.stride, c.qkv.dtype};
  }
  a.row_begin = c.row_begin, a.mask = c.mask, a.shown = c.shown;
  return a;
}

bool fits_tensor_cores(const CudaContext& context, const AttentionCall& call) {
  const DType dtype = call.qkv.dtype;
  // Results are stored in pairs.
  const bool pairs = call.out.stride % 2 == 0 && reinterpret_cast<std::uintptr_t>(call.out.data) % 4 == 0;
  return call.head_dim <= 128 && !call.first_query_only && moves_eight(call) && pairs &&
         (call.cache.keys == nullptr || call.cache.dtype == dtype) &&
         ((dtype == DType::f16 && context.architecture() >= 75) || (dtype == DType::bf16 && context.architecture() >= 80));
}

std::string_view attention(CudaContext& context, const AttentionCall& call) {
  if (call.head_dim > 256)
    throw Error(ErrorKind::unavailable,
                "attention heads of " + std::to_string(call.head_dim) + " elements: on a card up to 256 can be computed");
  constexpr std::int64_t most_blocks = 65535;  // of a grid's second and third dimension
  if (call.sequences > most_blocks || call.heads > most_blocks)
    throw Error(ErrorKind::unavailable, "attention over " + std::to_string(call.sequences) + " sequences with " +
                                            std::to_string(call.heads) +
                                            " heads: on a card up to 65535 of each can be computed "
                                            "at once; a smaller batch (--batch) can");
  if (call.rows == 0) return "";
  const bool single = (call.longest == 1 || call.first_query_only) && call.head_dim <= 128;
  if (call.cache.keys != nullptr && !(single && call.longest == 1)) append(context, call);
  if (single) return attention_of_single_queries(context, call), "eaq attention, single queries";
  if (fits_hopper_attention(context, call)) return attention_on_hopper(context, call), "eaq attention, wgmma";
  if (fits_tensor_cores(context, call)) {
    (call.qkv.dtype == DType::f16 ? attention_of_f16 : attention_of_bf16)(context, call);
    return "eaq attention, tensor cores";
  }
  return attention_plain(context, call), "eaq attention, f32";
}

bool can_multiply_and_attend(std::int64_t k, int head_dim, DType dtype) {
  return k <= most_row_attention_k && k % 8 == 0 && head_dim <= 128 && head_dim % 8 == 0 &&
         (dtype == DType::f16 || dtype == DType::bf16);
}

std::string_view multiply_and_attend(CudaContext& context, const GemmCall& product, const AttentionCall& attention) {
  if (!fits_row_attention(context, product, attention)) return "";
  row_attention(context, product, attention);
  return "eaq product and attention of a row";
}

}  // namespace eaq::kernel_cuda
