// Known work for the emulated card: none, it draws no power of its own.
#include "eaq/base/base.h"
#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/kernel.h"

namespace eaq::kernel_cuda {

const ComputeDevice& entry() {
  static const ComputeDevice device{
      "an emulated card, for tests",
      list_devices,
      [](int, const LoadOptions&) -> std::unique_ptr<Load> {
        throw Error(ErrorKind::unavailable, "the emulated card draws no power: there is no known work for it");
      },
  };
  return device;
}

}  // namespace eaq::kernel_cuda
