#include "eaq/kernel/cuda/hopper/products.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace eaq::kernel_cuda {
namespace {

// 4096 rows and 768 columns are 128 tiles of 128 x 192: what an H200's 132 multiprocessors take at once. Small tiles are for few
// rows, and splits of k for few rows of few columns. A split is another argument of the same kernel.
constexpr HopperProduct products[] = {
    {"128x192x64 cooperative", HopperKernel::cooperative_128x192},
    {"128x256x64 cooperative", HopperKernel::cooperative_128x256},
    {"128x128x64 pingpong", HopperKernel::pingpong_128x128},
    {"64x64x128 pingpong", HopperKernel::pingpong_64x64},
    {"128x64x128 stream-k", HopperKernel::stream_k_128x64},
    {"128x64x128 split-k 2", HopperKernel::stream_k_128x64, 2},
    {"128x64x128 split-k 3", HopperKernel::stream_k_128x64, 3},
    {"128x64x128 split-k 4", HopperKernel::stream_k_128x64, 4},
    {"128x64x128 split-k 6", HopperKernel::stream_k_128x64, 6},
    {"128x192 overlapped", HopperKernel::overlapped},
    {"128x64 whole", HopperKernel::slices},
    {"128x64 slices 2", HopperKernel::slices, 2},
    {"128x64 slices 4", HopperKernel::slices, 4},
    {"128x64 slices 8", HopperKernel::slices, 8},
};

// The card's copy engine takes rows of whole 16 bytes that begin at multiples of 16, and 32-bit sizes.
bool fits(const Matrix& m) {
  constexpr std::int64_t whole = 8, most = std::numeric_limits<std::int32_t>::max();
  return m.rows > 0 && m.rows <= most && m.cols > 0 && m.cols <= most && m.cols % whole == 0 && m.stride % whole == 0 &&
         reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0;
}

// Whether a product of x is one for overlapped.cu.
bool can_overlap(const Matrix& x) {
  constexpr std::int64_t many = 512;                    // fewer rows are norms' and products' own kernels'
  constexpr std::int64_t fewest_steps = 12, step = 64;  // of k: in so many the tile before is finished
  return x.rows > many && x.cols > (fewest_steps - 1) * step && fits(x);
}

std::optional<HopperActivation> activation_of(Activation activation) {
  if (activation == Activation::none) return HopperActivation::none;
  if (activation == Activation::gelu) return HopperActivation::gelu;
  if (activation == Activation::gelu_tanh) return HopperActivation::gelu_tanh;
  return std::nullopt;
}

std::int64_t tiles(std::int64_t elements, std::int64_t tile) { return (elements + tile - 1) / tile; }

HopperMoments moments_at(const float* data, const Matrix& of) {
  if (data == nullptr) return {};
  const RowMoments moments = RowMoments::of(of.rows, of.cols);
  return {const_cast<float*>(data), moments.rows, moments.parts};
}

}  // namespace

bool has_norms_behind(const CudaContext& context) { return context.architecture() == 90; }

bool keeps_moments(const CudaContext& context, const Matrix& x) {
  if (!has_norms_behind(context) || (x.dtype != DType::f16 && x.dtype != DType::bf16)) return false;
  if (!can_overlap(x)) return false;
  const RowMoments moments = RowMoments::of(x.rows, x.cols);
  return moments.parts <= RowMoments::most_parts &&
         moments.bytes() <= static_cast<std::size_t>(x.rows * x.stride) * size_of(x.dtype);
}

bool norms_behind(const CudaContext& context, const GemmCall& call) {
  return keeps_moments(context, call.x) && call.residual == nullptr && runs_on_hopper(context, call);
}

std::span<const HopperProduct> hopper_products() { return products; }

const HopperProduct* find_hopper_product(std::string_view name) {
  const auto* found = std::find_if(std::begin(products), std::end(products), [&](const auto& p) { return p.name == name; });
  return found == std::end(products) ? nullptr : found;
}

bool runs_on_hopper(const CudaContext& context, const GemmCall& call) {
  const DType type = call.x.dtype;
  if (context.architecture() != 90 || (type != DType::f16 && type != DType::bf16)) return false;
  if (call.w.dtype != type || (call.residual != nullptr && call.residual->dtype != type)) return false;
  if (call.y.dtype != type) {
    if (call.y.dtype != DType::f32 || call.activation != Activation::none) return false;
    if (call.residual != nullptr || call.moments != nullptr || call.norm_behind != nullptr || !can_overlap(call.x)) return false;
  }
  if (!activation_of(call.activation)) return false;
  if (call.moments != nullptr && call.y.cols % RowMoments::of(call.y.rows, call.y.cols).cols != 0) return false;
  return fits(call.x) && fits(call.w) && fits(call.y) && (call.residual == nullptr || fits(*call.residual));
}

bool suits(const HopperProduct& product, const CudaContext& context, const GemmCall& call) {
  if (product.kernel == HopperKernel::overlapped)
    return call.norm_behind != nullptr || (can_overlap(call.x) && call.residual == nullptr && call.moments == nullptr);
  if (call.norm_behind != nullptr || call.y.dtype != call.x.dtype) return false;
  if (call.moments != nullptr)
    return product.kernel == (RowMoments::of(call.y.rows, call.y.cols).cols == 192 ? HopperKernel::cooperative_128x192
                                                                                   : HopperKernel::cooperative_128x256);
  if (product.kernel == HopperKernel::slices) {
    constexpr std::int64_t most_rows = 512, most_depth = 384;  // of a slice, which shared memory holds
    return call.x.rows <= most_rows && tiles(tiles(call.x.cols, 64), product.splits) * 64 <= most_depth &&
           tiles(call.x.cols, 64) >= product.splits;
  }
  if (product.splits == 1) return true;
  // A split has a whole depth of its own, and the card is not full without it.
  return tiles(call.x.cols, 128) >= product.splits &&
         tiles(call.y.rows, 128) * tiles(call.y.cols, 64) < context.multiprocessors();
}

std::string submit(const HopperProduct& product, const CudaContext& context, const GemmCall& call,
                   const DeviceMemory& workspace) {
  const auto rows = [](const Matrix& m) { return HopperRows{m.data, m.stride}; };
  const HopperCall made{.m = static_cast<int>(call.x.rows),
                        .n = static_cast<int>(call.w.rows),
                        .k = static_cast<int>(call.x.cols),
                        .x = rows(call.x),
                        .w = rows(call.w),
                        .y = rows(call.y),
                        .residual = call.residual != nullptr ? rows(*call.residual) : HopperRows{},
                        .bias = call.bias,
                        .activation = *activation_of(call.activation),
                        .splits = product.splits,
                        .w_stays = call.w_stays,
                        .f32_results = call.y.dtype == DType::f32,
                        .moments = moments_at(call.moments, call.y),
                        .norm = call.norm_behind != nullptr ? moments_at(call.norm_behind->moments, call.x) : HopperMoments{},
                        .w_sums = call.norm_behind != nullptr ? call.norm_behind->w_sums : nullptr,
                        .epsilon = call.norm_behind != nullptr ? call.norm_behind->epsilon : 0,
                        .multiprocessors = context.multiprocessors(),
                        .workspace = workspace.data(),
                        .workspace_bytes = workspace.size(),
                        .stream = context.stream()};
  const bool f16 = call.x.dtype == DType::f16;
  if (product.kernel == HopperKernel::overlapped) return f16 ? run_overlapped_f16(made) : run_overlapped_bf16(made);
  if (product.kernel == HopperKernel::slices) return f16 ? run_slices_f16(made) : run_slices_bf16(made);
  return (f16 ? run_f16 : run_bf16)(product.kernel, made);
}

std::string full_name(const HopperProduct& product, DType operands) {
  const bool ours = product.kernel == HopperKernel::slices || product.kernel == HopperKernel::overlapped;
  return (ours ? "eaq " : "cutlass ") + std::string(name_of(operands)) + " " + std::string(product.name);
}

}  // namespace eaq::kernel_cuda
