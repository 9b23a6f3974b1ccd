#include "eaq/kernel/cuda/device.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

void check(cudaError_t code, const char* what, std::source_location site) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // an error that is told is not told again by the next call
  throw Error(ErrorKind::unavailable, std::string(what) + ": " + cudaGetErrorString(code) + place_of(site));
}

std::string place_of(const std::source_location& site) {
  std::string_view file = site.file_name();
  if (const auto tree = file.rfind("/eaq/"); tree != std::string_view::npos) file.remove_prefix(tree + 1);
  return " (" + std::string(file) + ":" + std::to_string(site.line()) + ")";
}

std::string why_no_card(const Missing& m) {
  const auto version = [](int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); };
  if (m.code == cudaErrorInsufficientDriver && m.driver > 0)
    return "the NVIDIA driver here offers CUDA " + version(m.driver) + ", and this program needs CUDA " +
           std::to_string(m.runtime / 1000) + ".0 or newer: update the driver";
  if (m.code == cudaErrorInsufficientDriver && m.control)
    return "the NVIDIA driver's library (libcuda.so.1) is not found, though a driver runs here: a container has to be started "
           "with "
           "it (docker's --gpus all)";
  if (m.code == cudaErrorInsufficientDriver)
    return "no NVIDIA driver is installed (neither libcuda.so.1 nor /dev/nvidiactl is here): a card needs its driver first";
  if (m.code == cudaErrorNoDevice && m.hidden)
    return "CUDA_VISIBLE_DEVICES hides every NVIDIA card from this process: unset it, or name one";
  if (m.code == cudaErrorNoDevice) return "the NVIDIA driver shows this process no card (nvidia-smi -L lists what it has)";
  return std::string("CUDA cannot start: ") + cudaGetErrorString(m.code);
}

std::vector<std::string> list_devices() {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count); code != cudaSuccess) {
    cudaGetLastError();
    Missing missing{.code = code, .hidden = std::getenv("CUDA_VISIBLE_DEVICES") != nullptr};
    if (cudaDriverGetVersion(&missing.driver) != cudaSuccess) missing.driver = 0;
    if (cudaRuntimeGetVersion(&missing.runtime) != cudaSuccess) missing.runtime = CUDART_VERSION;
    cudaGetLastError();
    std::error_code ignored;
    missing.control = std::filesystem::exists("/dev/nvidiactl", ignored);
    throw Error(ErrorKind::unavailable, why_no_card(missing));
  }
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, i), "cudaGetDeviceProperties: asking a card for its properties");
    names.push_back(printable(properties.name));
  }
  return names;
}

cudaError_t allow_shared_memory(const void* kernel, std::size_t bytes) {
  constexpr std::size_t without_asking = 40 * 1024;  // 48 KiB, in which the kernel's static arrays count too
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, std::size_t> allowed;  // card, kernel
  if (bytes <= without_asking) return cudaSuccess;
  int card = 0;
  check(cudaGetDevice(&card), "cudaGetDevice: asking for the current card");
  const std::lock_guard lock(mutex);
  std::size_t& most = allowed[{card, kernel}];
  if (bytes <= most) return cudaSuccess;
  const cudaError_t code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (code == cudaSuccess) most = bytes;
  return code;
}

void allow_shared_memory(const void* kernel, std::size_t bytes, const char* what) {
  const cudaError_t code = allow_shared_memory(kernel, bytes);
  if (code == cudaSuccess) return;
  if (code != cudaErrorInvalidValue) check(code, (std::string("cudaFuncSetAttribute: ") + what).c_str());
  cudaGetLastError();
  int card = 0, has = 0;
  check(cudaGetDevice(&card), "cudaGetDevice: asking for the current card");
  check(cudaDeviceGetAttribute(&has, cudaDevAttrMaxSharedMemoryPerBlockOptin, card),
        "cudaDeviceGetAttribute: asking for a block's shared memory");
  throw Error(ErrorKind::unavailable, std::string(what) + " needs " + std::to_string(bytes) +
                                          " bytes of shared memory and its static arrays; a block on this card has " +
                                          std::to_string(has));
}

namespace {

// What EAQ_CUDA_ARCHITECTURE says; 0 where it says nothing.
int lowered_architecture() {
  const char* variable = std::getenv("EAQ_CUDA_ARCHITECTURE");
  if (variable == nullptr || *variable == '\0') return 0;
  const std::string_view text = variable;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 50)
    throw Error(ErrorKind::usage, "EAQ_CUDA_ARCHITECTURE=" + printable(text) + " is no architecture: 75, 80, 89, 90, ...");
  return number;
}

}  // namespace

int usable_architecture(const cudaDeviceProp& properties) {
  static const int lowered = lowered_architecture();
  const int own = 10 * properties.major + properties.minor;
  if (lowered > own)
    throw Error(ErrorKind::usage, "EAQ_CUDA_ARCHITECTURE=" + std::to_string(lowered) + ": this card (" +
                                      printable(properties.name) + ") is sm_" + std::to_string(own));
  const std::optional<int> compiled = compiled_architecture();
  if (!compiled)
    throw Error(ErrorKind::unavailable, "this program has no kernels for " + printable(properties.name) + ", which is sm_" +
                                            std::to_string(own) +
                                            ": CMAKE_CUDA_ARCHITECTURES names others, or the card is "
                                            "older than sm_75");
  const int usable = *compiled > 0 ? std::min(own, *compiled) : own;
  return lowered > 0 ? std::min(usable, lowered) : usable;
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

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags: making a stream");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

}  // namespace eaq::kernel_cuda
