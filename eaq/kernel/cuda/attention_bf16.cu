#include "eaq/kernel/cuda/attention_tensor.cuh"

namespace eaq::kernel_cuda {

void attention_of_bf16(CudaContext& context, const AttentionCall& call) { run_tensor_attention<__nv_bfloat16>(context, call); }

}  // namespace eaq::kernel_cuda
