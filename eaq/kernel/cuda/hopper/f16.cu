#include "eaq/kernel/cuda/hopper/product.cuh"

namespace eaq::kernel_cuda {

std::string run_f16(HopperKernel kernel, const HopperCall& call) { return hopper::run<cutlass::half_t>(kernel, call); }

}  // namespace eaq::kernel_cuda
