#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"
#include "eaq/kernel/sampling.cuh"

namespace eaq::kernel_cuda {
namespace {

__device__ float normal(std::uint64_t key) {
  const std::uint64_t bits = sampling::mixed(key);
  const float u = (static_cast<float>(static_cast<std::uint32_t>(bits)) + 1.0f) * 0x1p-32f,
              v = static_cast<float>(static_cast<std::uint32_t>(bits >> 32)) * 0x1p-32f;
  return sqrtf(-2.0f * logf(u)) * cospif(2.0f * v);  // Box and Muller
}

__device__ void store(__nv_bfloat16* out, float value) { *out = __float2bfloat16(value); }
__device__ void store(__half* out, float value) { *out = __float2half(value); }

template <class T>
__global__ void fill(T* out, std::int64_t count, std::uint64_t seed) {
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
    store(out + i, normal(sampling::mixed(seed) ^ static_cast<std::uint64_t>(i)));
}

template <class T>
void submit(CudaContext& context, std::byte* data, std::int64_t count, std::uint64_t seed) {
  launch(context, "filling a matrix", {dim3(1024), dim3(256), 0}, fill<T>, reinterpret_cast<T*>(data), count, seed);
}

}  // namespace

void fill_normal(CudaContext& context, DType dtype, std::byte* data, std::int64_t count, std::uint64_t seed) {
  if (dtype == DType::bf16) return submit<__nv_bfloat16>(context, data, count, seed);
  submit<__half>(context, data, count, seed);
}

}  // namespace eaq::kernel_cuda
