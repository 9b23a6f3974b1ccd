// Attention by wgmma, which is not emulated: none fits.
#include "eaq/kernel/cuda/hopper/attention.h"

#include "eaq/base/base.h"

namespace eaq::kernel_cuda {

bool fits_hopper_attention(const CudaContext&, const AttentionCall&) { return false; }
void attention_on_hopper(CudaContext&, const AttentionCall&) {
  throw Error(ErrorKind::bug, "attention by wgmma on an emulated card");
}

}  // namespace eaq::kernel_cuda
