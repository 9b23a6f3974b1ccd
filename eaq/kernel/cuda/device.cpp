#include "eaq/kernel/cuda/device.h"

#include <cstdio>
#include <utility>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // an error that is told is not told again by the next call
  throw Error(ErrorKind::unavailable, std::string(what) + ": " + cudaGetErrorString(code));
}

std::vector<std::string> list_devices() {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count); code != cudaSuccess) {
    cudaGetLastError();
    throw Error(ErrorKind::unavailable, std::string("--device cuda is not available: ") + cudaGetErrorString(code));
  }
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, i), "asking a card for its properties");
    names.push_back(printable(properties.name));
  }
  return names;
}

std::string uuid_of(const cudaDeviceProp& properties) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<unsigned char>(properties.uuid.bytes[i])));
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += two;
  }
  return text;
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags: making a stream"); }

Stream::~Stream() { cudaStreamDestroy(stream_); }

}  // namespace eaq::kernel_cuda
