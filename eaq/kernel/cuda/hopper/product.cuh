// One type's products by CUTLASS: y [m, n] = activation(x [m, k] w^T [k, n] + bias [n]) + residual [m, n], all of it as it lies,
// row by row. A kernel is a tile and a schedule; activation, bias and residual are chosen when it runs, so that they do not
// multiply the kernels. Compiled for sm_90a alone.
#pragma once

// Kernels wait for the one before them as launch.cuh asks: without it CUTLASS launches in the same way and does not wait.
#define CUTLASS_ENABLE_GDC_FOR_SM90

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cute/tensor.hpp>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/epilogue/fusion/sm90_callbacks_tma_warpspecialized.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>
#include <cutlass/gemm/kernel/tile_scheduler.hpp>

#include "eaq/kernel/cuda/hopper/gelu.cuh"
#include "eaq/kernel/cuda/hopper/kernels.h"

namespace eaq::kernel_cuda::hopper {

struct StreamK {};  ///< for CUTLASS, the name of the scheduler below

/// CUTLASS's stream-K, less a function of 4.2's that does not compile where kernels overlap: it says when the next kernel may
/// begin. So that one begins when this one ends.
template <class Tile, class Cluster>
struct StreamKScheduler : cutlass::gemm::kernel::detail::PersistentTileSchedulerSm90StreamK<Tile, Cluster> {
  using Base = cutlass::gemm::kernel::detail::PersistentTileSchedulerSm90StreamK<Tile, Cluster>;
  using Base::Base;
  __device__ bool is_last_tile(const typename Base::WorkTileInfo&, std::uint32_t = 1) const { return false; }
};

}  // namespace eaq::kernel_cuda::hopper

template <class Tile, class Cluster, std::uint32_t Stages>
struct cutlass::gemm::kernel::detail::TileSchedulerSelector<eaq::kernel_cuda::hopper::StreamK, cutlass::arch::Sm90, Tile, Cluster,
                                                            Stages> {
  using Scheduler = eaq::kernel_cuda::hopper::StreamKScheduler<Tile, Cluster>;
};

namespace eaq::kernel_cuda {

/// Which activation an epilogue applies: CUTLASS hands it to every call of ChosenActivation.
struct ChosenActivationArguments {
  HopperActivation activation;
};

template <class T>
struct ChosenActivation {
  using Arguments = ChosenActivationArguments;
};
template <int N>
struct ChosenActivation<cutlass::Array<float, N>> {
  using Values = cutlass::Array<float, N>;
  // The branch is the same for all threads, and outside the loops.
  __device__ Values operator()(Values values, const ChosenActivationArguments& chosen) const {
    if (chosen.activation == HopperActivation::gelu) {
#pragma unroll
      for (int i = 0; i < N; ++i) values[i] = fast_gelu(values[i]);
    } else if (chosen.activation == HopperActivation::gelu_tanh) {
#pragma unroll
      for (int i = 0; i < N; ++i) values[i] = fast_gelu_tanh(values[i]);
    }
    return values;
  }
};

namespace hopper {

namespace fusion = cutlass::epilogue::fusion;

template <class Element, class Tile, class Cluster, class MainSchedule, class EpilogueSchedule,
          class Scheduler = cutlass::gemm::PersistentScheduler>
class TiledProduct {
  static constexpr int aligned = 16 / sizeof(Element);
  static constexpr auto nearest = cutlass::FloatRoundStyle::round_to_nearest;
  using Rows = cutlass::layout::RowMajor;
  template <template <class> class Function, class... Inputs>
  using Compute = fusion::Sm90EVT<fusion::Sm90Compute<Function, float, float, nearest>, Inputs...>;
  // The bias is a row that is added to all rows; null: zeros.
  using Biased = Compute<cutlass::plus, fusion::Sm90AccFetch, fusion::Sm90RowBroadcast<0, Tile, Element, float>>;
  using Activated = Compute<ChosenActivation, Biased>;
  // scale * residual + activated. Where the scale is 0 the residual is not read.
  using Fused = fusion::Sm90EVT<fusion::Sm90Compute<cutlass::homogeneous_multiply_add, Element, float, nearest>,
                                fusion::Sm90ScalarBroadcast<float>, fusion::Sm90SrcFetch<Element>, Activated>;
  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster, cutlass::epilogue::collective::EpilogueTileAuto, float,
      float, Element, Rows, aligned, Element, Rows, aligned, EpilogueSchedule, Fused>::CollectiveOp;
  // w [n, k] row by row is CUTLASS's B [k, n] column by column.
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Element, Rows, aligned, Element, cutlass::layout::ColumnMajor, aligned,
      float, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(typename Epilogue::SharedStorage))>,
      MainSchedule>::CollectiveOp;
  using Kernel = cutlass::gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Mainloop, Epilogue, Scheduler>;
  using Device = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;

  static typename Kernel::Arguments arguments(const HopperCall& c) {
    const auto rows = [](std::int64_t stride) { return cute::make_stride(stride, cute::Int<1>{}, std::int64_t{0}); };
    const HopperRows& added = c.residual.data != nullptr ? c.residual : c.y;
    typename Kernel::Arguments made{};
    made.mode = cutlass::gemm::GemmUniversalMode::kGemm;
    made.problem_shape = {c.m, c.n, c.k, 1};
    made.mainloop.ptr_A = static_cast<const Element*>(c.x.data), made.mainloop.dA = rows(c.x.stride);
    made.mainloop.ptr_B = static_cast<const Element*>(c.w.data), made.mainloop.dB = rows(c.w.stride);
    made.epilogue.ptr_C = static_cast<const Element*>(added.data), made.epilogue.dC = rows(added.stride);
    made.epilogue.ptr_D = static_cast<Element*>(c.y.data), made.epilogue.dD = rows(c.y.stride);
    typename Fused::Arguments fused{
        {{c.residual.data != nullptr ? 1.0f : 0.0f}, {nullptr}, {}},                        // the residual's scale
        {},                                                                                 // the residual
        {{{}, {static_cast<const Element*>(c.bias), Element(0), {}}, {}}, {c.activation}},  // accumulator, bias, sum; activation
        {}};
    made.epilogue.thread = fused;
    made.hw_info.sm_count = c.multiprocessors;
    if constexpr (std::is_same_v<Scheduler, StreamK>) made.scheduler.splits = c.splits;
    return made;
  }

 public:
  /// Submits it; what failed, or null.
  static const char* run(const HopperCall& call) {
    const typename Kernel::Arguments made = arguments(call);
    if (Device::can_implement(made) != cutlass::Status::kSuccess) return "CUTLASS's kernel does not take this product";
    if (Device::get_workspace_size(made) > call.workspace_bytes) return "CUTLASS's kernel wants a larger workspace";
    Device device;
    cutlass::Status status = device.initialize(made, call.workspace, call.stream);
    if (status == cutlass::Status::kSuccess) status = device.run(call.stream, nullptr, true);
    return status == cutlass::Status::kSuccess ? nullptr : cutlass::cutlassGetStatusString(status);
  }
};

using Pingpong = cutlass::gemm::KernelTmaWarpSpecializedPingpong;
using Cooperative = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
using OneEach = cutlass::epilogue::TmaWarpSpecialized;
using Together = cutlass::epilogue::TmaWarpSpecializedCooperative;
template <int M, int N, int K>
using Size = cute::Shape<cute::Int<M>, cute::Int<N>, cute::Int<K>>;

template <class Element>
const char* run(HopperKernel kernel, const HopperCall& call) {
  switch (kernel) {
    case HopperKernel::pingpong_64x64:
      return TiledProduct<Element, Size<64, 64, 128>, Size<1, 1, 1>, Pingpong, OneEach>::run(call);
    case HopperKernel::pingpong_128x128:
      return TiledProduct<Element, Size<128, 128, 64>, Size<2, 1, 1>, Pingpong, OneEach>::run(call);
    case HopperKernel::cooperative_128x192:
      return TiledProduct<Element, Size<128, 192, 64>, Size<2, 1, 1>, Cooperative, Together>::run(call);
    case HopperKernel::cooperative_128x256:
      return TiledProduct<Element, Size<128, 256, 64>, Size<2, 1, 1>, Cooperative, Together>::run(call);
    case HopperKernel::stream_k_128x64:
      return TiledProduct<Element, Size<128, 64, 128>, Size<1, 1, 1>, Cooperative, Together, StreamK>::run(call);
    case HopperKernel::slices:
      break;  // none of CUTLASS's
  }
  return "there is no such kernel";
}

}  // namespace hopper
}  // namespace eaq::kernel_cuda
