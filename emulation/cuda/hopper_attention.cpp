// Attention by Hopper's own means, wgmma and clusters, is not emulated: none fits.
#include "eaq/base/base.h"
#include "eaq/kernel/cuda/hopper/attention.h"
#include "eaq/kernel/cuda/hopper/row_attention.h"

namespace eaq::kernel_cuda {

bool fits_hopper_attention(const CudaContext&, const AttentionCall&) { return false; }
void attention_on_hopper(CudaContext&, const AttentionCall&) {
  throw Error(ErrorKind::bug, "attention by wgmma on an emulated card");
}

bool fits_row_attention(const CudaContext&, const GemmCall&, const AttentionCall&) { return false; }
void row_attention(CudaContext&, const GemmCall&, const AttentionCall&) {
  throw Error(ErrorKind::bug, "attention by a cluster on an emulated card");
}

}  // namespace eaq::kernel_cuda
