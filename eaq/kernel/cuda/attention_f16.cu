#include "eaq/kernel/cuda/attention_tensor.cuh"

namespace eaq::kernel_cuda {

void attention_of_f16(CudaContext& context, const AttentionCall& call) { run_tensor_attention<__half>(context, call); }

}  // namespace eaq::kernel_cuda
