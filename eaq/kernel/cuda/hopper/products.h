// Products on Hopper's cards (sm_90) by CUTLASS, with an epilogue of our own: what cuBLASLt cannot fuse (GELU by erf, a residual
// after an activation), and where it does, a rival. Nothing here shows CUTLASS's types.
#pragma once

#include <span>
#include <string>

#include "eaq/kernel/cuda.h"
#include "eaq/kernel/cuda/hopper/kernels.h"

namespace eaq::kernel_cuda {

/// One way to run a product.
struct HopperProduct {
  std::string_view name;  ///< "128x128x64 pingpong": rows, columns and depth of a tile, and CUTLASS's name of the schedule
  HopperKernel kernel;
  int splits = 1;
};
std::span<const HopperProduct> hopper_products();
/// Null where there is none of that name.
const HopperProduct* find_hopper_product(std::string_view name);

/// Whether there is a way for a call at all: two 16-bit operands and a result of their type, rows of whole 16 bytes, no
/// activation or GELU; or a result of f32, with many rows and at most a bias. It depends on nothing that multiply() would not
/// choose anew for.
bool runs_on_hopper(const CudaContext& context, const GemmCall& call);
/// Whether it makes sense for a call that runs_on_hopper().
bool suits(const HopperProduct& product, const CudaContext& context, const GemmCall& call);

/// Submits it, into a recording too. What failed, empty where nothing did.
std::string submit(const HopperProduct& product, const CudaContext& context, const GemmCall& call, const DeviceMemory& workspace);

/// As results name it: "cutlass bf16 128x128x64 pingpong".
std::string full_name(const HopperProduct& product, DType operands);

}  // namespace eaq::kernel_cuda
