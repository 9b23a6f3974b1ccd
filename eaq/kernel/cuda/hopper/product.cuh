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

constexpr auto nearest = cutlass::FloatRoundStyle::round_to_nearest;
template <template <class> class Function, class Result, class... Inputs>
using Compute = fusion::Sm90EVT<fusion::Sm90Compute<Function, Result, float, nearest>, Inputs...>;

// ---- Epilogues: what is done to a tile of sums on their way out

/// activation(sums + bias) + residual.
template <class Element, class Tile, class Result = Element>
struct Plain {
  // The bias is a row that is added to all rows; null: zeros.
  using Biased = Compute<cutlass::plus, float, fusion::Sm90AccFetch, fusion::Sm90RowBroadcast<0, Tile, Element, float>>;
  using Activated = Compute<ChosenActivation, float, Biased>;
  // scale * residual + activated. Where the scale is 0 the residual is not read.
  using Operations = Compute<cutlass::homogeneous_multiply_add, Result, fusion::Sm90ScalarBroadcast<float>,
                             fusion::Sm90SrcFetch<Element>, Activated>;

  static typename Operations::Arguments arguments(const HopperCall& c) {
    return {
        {{c.residual.data != nullptr ? 1.0f : 0.0f}, {nullptr}, {}},                        // the residual's scale
        {},                                                                                 // the residual
        {{{}, {static_cast<const Element*>(c.bias), Element(0), {}}, {}}, {c.activation}},  // accumulator, bias, sum; activation
        {}};
  }
};

template <class T>
struct PlusSquare {
  CUTLASS_DEVICE T operator()(const T& sum, const T& x) const { return sum + x * x; }
};

/// The same, and of the rows' parts in each tile the sum and the sum of squares, before they are rounded: where tiles are whole.
/// Null: neither.
template <class Element, class Tile>
struct WithMoments {
  template <template <class> class Function, class Inner>
  using Reduced =
      fusion::Sm90EVT<fusion::Sm90ColReduction<Function, cutlass::plus, cutlass::plus, 0, Tile, float, float, nearest,
                                               cute::Stride<cute::_1, cute::_0, cute::_0>, 4, true, /* of tiles */ false,
                                               /* columns checked */ false>,
                      Inner>;
  using Result = Plain<Element, Tile, float>;
  using Operations = Reduced<PlusSquare, Reduced<cutlass::plus, typename Result::Operations>>;

  static typename Operations::Arguments arguments(const HopperCall& c) {
    float* squares = c.moments.data != nullptr ? c.moments.data + c.moments.rows * c.moments.parts : nullptr;
    return {{Result::arguments(c), {c.moments.data, 0.0f, {}}}, {squares, 0.0f, {}}};
  }
};

/// How a tile leaves: in pieces, by way of shared memory. As CUTLASS proposes:
struct ByDefault {
  template <class Element, class Tile, class Cluster, class Schedule, class Outcome>
  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster, cutlass::epilogue::collective::EpilogueTileAuto, float,
      float, Element, cutlass::layout::RowMajor, 16 / sizeof(Element), Element, cutlass::layout::RowMajor, 16 / sizeof(Element),
      Schedule, typename Outcome::Operations>::CollectiveOp;
};
/// Or of 128 x 64, twice as large as it does for the kernels of two groups together, which wait for each other at each.
struct InLargePieces {
  static constexpr int columns = 64, elements = columns / 2;  // of a thread
  template <class Tile>
  static constexpr int pieces = cute::size<1>(Tile{}) / columns;
  template <class Element, class Tile, class Cluster, class Schedule, class Outcome>
  using Epilogue = typename cutlass::epilogue::collective::detail::Sm90TmaBuilderImpl<
      Tile, cute::Shape<cute::_128, cute::Int<columns>>, float, float, Element, cutlass::layout::RowMajor, 16 / sizeof(Element),
      Element, cutlass::layout::RowMajor, 16 / sizeof(Element), typename Outcome::Operations,
      cutlass::epilogue::Sm90TmaWarpSpecialized<pieces<Tile>, /* results on their way */ 2, elements,
                                                /* in the source's place */ true,
                                                /* stored a piece later */ false>>::CollectiveOp;
};

template <class Element, class Tile, class Cluster, class MainSchedule, class EpilogueSchedule,
          class Scheduler = cutlass::gemm::PersistentScheduler, class Outcome = Plain<Element, Tile>, class Leaving = ByDefault>
class TiledProduct {
  static constexpr int aligned = 16 / sizeof(Element);
  using Rows = cutlass::layout::RowMajor;
  using Epilogue = typename Leaving::template Epilogue<Element, Tile, Cluster, EpilogueSchedule, Outcome>;
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
    made.epilogue.thread = Outcome::arguments(c);
    made.hw_info.sm_count = c.multiprocessors;
    if constexpr (std::is_same_v<Scheduler, StreamK>) made.scheduler.splits = c.splits;
    return made;
  }

 public:
  /// Submits it; see run_f16().
  static std::string run(const HopperCall& call) {
    const typename Kernel::Arguments made = arguments(call);
    if (Device::can_implement(made) != cutlass::Status::kSuccess) return "CUTLASS's kernel does not take this product";
    if (Device::get_workspace_size(made) > call.workspace_bytes) return "CUTLASS's kernel wants a larger workspace";
    Device device;
    cutlass::Status status = device.initialize(made, call.workspace, call.stream);
    if (status == cutlass::Status::kSuccess) status = device.run(call.stream, nullptr, true);
    if (status == cutlass::Status::kSuccess) return {};
    return std::string("cutlass::gemm::device::GemmUniversalAdapter: ") + cutlass::cutlassGetStatusString(status);
  }
};

using Pingpong = cutlass::gemm::KernelTmaWarpSpecializedPingpong;
using Cooperative = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
using OneEach = cutlass::epilogue::TmaWarpSpecialized;
using Together = cutlass::epilogue::TmaWarpSpecializedCooperative;
template <int M, int N, int K>
using Size = cute::Shape<cute::Int<M>, cute::Int<N>, cute::Int<K>>;

/// Large tiles, which can keep moments.
template <class Element, class Tile>
std::string run_large(const HopperCall& call) {
  return TiledProduct<Element, Tile, Size<2, 1, 1>, Cooperative, Together, cutlass::gemm::PersistentScheduler,
                      WithMoments<Element, Tile>, InLargePieces>::run(call);
}

template <class Element>
std::string run(HopperKernel kernel, const HopperCall& call) {
  switch (kernel) {
    case HopperKernel::pingpong_64x64:
      return TiledProduct<Element, Size<64, 64, 128>, Size<1, 1, 1>, Pingpong, OneEach>::run(call);
    case HopperKernel::pingpong_128x128:
      return TiledProduct<Element, Size<128, 128, 64>, Size<2, 1, 1>, Pingpong, OneEach>::run(call);
    case HopperKernel::cooperative_128x192:
      return run_large<Element, Size<128, 192, 64>>(call);
    case HopperKernel::cooperative_128x256:
      return run_large<Element, Size<128, 256, 64>>(call);
    case HopperKernel::stream_k_128x64:
      return TiledProduct<Element, Size<128, 64, 128>, Size<1, 1, 1>, Cooperative, Together, StreamK>::run(call);
    case HopperKernel::slices:
    case HopperKernel::overlapped:
      break;  // none of CUTLASS's
  }
  return "there is no such kernel";
}

}  // namespace hopper
}  // namespace eaq::kernel_cuda
