// Products of many rows that finish a tile while the next one is multiplied: y = activation(x w^T + bias), or with a norm behind
// them, activation(norm(x) w^T + bias) from x as it is. With a row's mean and deviation and the sums of w's rows, norm(x) w^T is
// (x w^T - mean * sums) / deviation: what a norm by itself would write, and a product read, never is.
//
// Two blocks have the tiles of 128 rows above each other and share what they fetch of w. In a block one thread fetches steps of k
// by the copy engine, some ahead; two groups of four warps multiply, 64 rows each, and other warps prepare what a tile's rows and
// columns have of their own. A warp finishes its rows of a tile, 16 columns at a time, while its group multiplies the next one,
// so the tensor cores wait neither for activations nor for what is stored.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/elements.cuh"
#include "eaq/kernel/cuda/hopper/bulk.cuh"
#include "eaq/kernel/cuda/hopper/gelu.cuh"
#include "eaq/kernel/cuda/hopper/kernels.h"
#include "eaq/kernel/cuda/hopper/wgmma.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int tile_m = 128, tile_n = 192, group_m = 64, warp_m = 16, multiplying_warps = tile_m / warp_m;
constexpr int depth = 64, steps_ahead = 5;  // depth: of a step of k, a row of shared memory
constexpr int threads = 384, preparing = 96, most_parts = 8;
constexpr int chunk = 16, chunks = tile_n / chunk;  // of columns, finished during a step of k

/// What a kernel is made for. T: of x and w; R: of y.
template <class T, class R, HopperActivation A, bool HasNorm>
struct Kind {
  using Element = T;
  using Result = R;
  using Bias = std::conditional_t<HasNorm, float, R>;
  static constexpr HopperActivation activation = A;
  static constexpr bool has_norm = HasNorm;
  static constexpr int piece = swizzled_row / sizeof(R);  // of columns, stored at once
};

struct RowNorm {
  float scale, shift;  // what a row's sums of products are multiplied by, and what of w's sums is added
};

template <class T>
struct Shared {
  struct Step {
    T x[tile_m][depth], w[tile_n][depth];  // swizzled, as all here
  };
  struct Sides {
    float4 columns[tile_n / 2];  // of two columns: w's sums, bias
    RowNorm rows[tile_m];
  };
  Step steps[steps_ahead];
  std::byte leaving[multiplying_warps][warp_m][swizzled_row];  // of each warp
  Sides sides[2];  // of a tile that is multiplied, and of the one before, which is finished
  Arrivals full[steps_ahead], empty[steps_ahead], sides_full[2], sides_empty[2];
};

struct Maps {
  CUtensorMap x, w, y;
};

// The tiles of a pair of blocks, one after the other: neighbours have the same columns.
class Tiles {
 public:
  __device__ explicit Tiles(const HopperCall& c)
      : pairs_((c.m + 2 * tile_m - 1) / (2 * tile_m)),
        all_(pairs_ * ((c.n + tile_n - 1) / tile_n)),
        next_(static_cast<int>(blockIdx.x) / 2) {}
  __device__ bool are_left() const { return next_ < all_; }
  __device__ void advance() { next_ += static_cast<int>(gridDim.x) / 2; }
  __device__ int row() const { return (2 * (next_ % pairs_) + static_cast<int>(blockIdx.x) % 2) * tile_m; }
  __device__ int col() const { return next_ / pairs_ * tile_n; }

 private:
  int pairs_, all_, next_;
};

// By one thread.
template <class T>
__device__ void fetch_steps(const HopperCall& c, const Maps& maps, Shared<T>& shared) {
  constexpr int half = tile_n / 2;  // of w, which each block fetches for both
  const int first = half * (static_cast<int>(blockIdx.x) % 2);
  const auto fetch_w = [&](int place, const Tiles& tiles, int k) {
    auto& step = shared.steps[place];
    shared.full[place].expect(sizeof(step));
    fetch_tile_for(3, &step.w[first], maps.w, tiles.col() + first, k, shared.full[place]);
  };
  Tiles tiles(c);
  // The kernel ahead may still write x, but not w.
  int begun = 0;
  if (c.w_stays && tiles.are_left())
    for (; begun < steps_ahead && begun * depth < c.k; ++begun) fetch_w(begun, tiles, begun * depth);
  wait_for_earlier_kernel();
  let_next_kernel_start();
  for (Turn turn; tiles.are_left(); tiles.advance()) {
    for (int k = 0; k < c.k; k += depth, turn = turn.next(steps_ahead)) {
      if (begun > 0) {
        --begun;
      } else {
        shared.empty[turn.place].wait(turn.parity ^ 1);
        fetch_w(turn.place, tiles, k);
      }
      fetch_tile(&shared.steps[turn.place].x, maps.x, tiles.row(), k, shared.full[turn.place]);
    }
  }
}

__device__ RowNorm norm_of(const HopperCall& c, int row) {
  float sum = 0, squares = 0;
#pragma unroll
  for (int part = 0; part < most_parts; ++part) {  // so that all are on their way together
    const bool is_there = part < c.norm.parts && row < c.m;
    sum += is_there ? c.norm.data[part * c.norm.rows + row] : 0;
    squares += is_there ? c.norm.data[(c.norm.parts + part) * c.norm.rows + row] : 0;
  }
  const float of_row = 1 / static_cast<float>(c.k), mean = sum * of_row;
  const float scale = rsqrtf(fmaxf(squares * of_row - mean * mean, 0.0f) + c.epsilon);
  return {scale, -mean * scale};
}

template <class T>
__device__ float2 two_at(const T* values, int i, int count) {
  if (values == nullptr || i >= count) return make_float2(0, 0);
  return make_float2(static_cast<float>(values[i]), static_cast<float>(values[i + 1]));
}

// By the preparing threads, `own` of which this is.
template <class K>
__device__ void prepare_sides(const HopperCall& c, Shared<typename K::Element>& shared, int own) {
  Turn turn;
  for (Tiles tiles(c); tiles.are_left(); tiles.advance(), turn = turn.next(2)) {
    shared.sides_empty[turn.place].wait(turn.parity ^ 1);
    auto& sides = shared.sides[turn.place];
    if constexpr (K::has_norm)
      for (int row = own; row < tile_m; row += preparing) sides.rows[row] = norm_of(c, tiles.row() + row);
    for (int two = own; two < tile_n / 2; two += preparing) {
      const float2 sums = two_at(K::has_norm ? c.w_sums : nullptr, tiles.col() + 2 * two, c.n),
                   bias = two_at(static_cast<const typename K::Bias*>(c.bias), tiles.col() + 2 * two, c.n);
      sides.columns[two] = make_float4(sums.x, sums.y, bias.x, bias.y);
    }
    shared.sides_full[turn.place].arrive();
  }
}

template <HopperActivation A>
__device__ void activate(float& a, float& b) {
  if constexpr (A == HopperActivation::gelu) a = fast_gelu(a), b = fast_gelu(b);
  if constexpr (A == HopperActivation::gelu_tanh) a = faster_gelu_tanh(a), b = faster_gelu_tanh(b);
}

// A group of warps at its work, as one of its threads sees it.
template <class K>
class Group {
  using T = typename K::Element;
  using Result = typename K::Result;
  using Sums = float[tile_n / 2];  // of this thread: see wgmma
  static constexpr int a_piece = K::piece / chunk;

 public:
  __device__ Group(const HopperCall& c, const Maps& maps, Shared<T>& shared, int thread)
      : c_(c),
        maps_(maps),
        shared_(shared),
        group_(thread / 128),
        warp_(thread / 32),
        lane_(thread % 32),
        own_row_(warp_m * warp_ + lane_ / 4),
        tells_(thread % 128 < 2),
        tiles_(c) {}

  __device__ void work() {
    Sums one, other;  // in turns, so that none is moved
    multiply<false>(one, other);
    wait_for_earlier_kernel();
    while (true) {
      if (!tiles_.are_left()) return finish(one);
      multiply<true>(other, one);
      if (!tiles_.are_left()) return finish(other);
      multiply<true>(one, other);
    }
  }

 private:
  // The next tile's product; that of the one before is finished meanwhile.
  template <bool Finishes>
  __device__ void multiply(Sums& sums, Sums& before) {
    const int row = tiles_.row() + warp_m * warp_, col = tiles_.col();
    int done = -1, k = 0;  // k: in steps
    const auto step = [&] {
      shared_.full[turn_.place].wait(turn_.parity);
      const auto& step = shared_.steps[turn_.place];
      const Described x = describe_swizzled(shared_address(&step.x[group_m * group_])),
                      w = describe_swizzled(shared_address(&step.w));
      wgmma_begin();
#pragma unroll
      for (int i = 0; i < depth / 16; ++i) wgmma_64x192x16<T>(sums, x + 2 * i, w + 2 * i, k + i > 0);
      wgmma_commit();
      wgmma_wait<1>();
      if (k > 0) release(done);
      done = turn_.place, ++k;
      turn_ = turn_.next(steps_ahead);
    };
    if constexpr (Finishes) shared_.sides_full[sides_.place].wait(sides_.parity);
#pragma unroll
    for (int i = 0; i < chunks; ++i) {
      step();
      if constexpr (Finishes) finish_chunk(before, i);
    }
    while (k * depth < c_.k) step();
    wgmma_wait<0>();
    release(done);
    row_ = row, col_ = col;
    tiles_.advance();
  }

  __device__ void release(int place) {
    if (tells_) shared_.empty[place].arrive_in(threadIdx.x % 2);
  }

  // The last tile.
  __device__ void finish(Sums& sums) {
    shared_.sides_full[sides_.place].wait(sides_.parity);
#pragma unroll
    for (int i = 0; i < chunks; ++i) finish_chunk(sums, i);
    if (lane_ == 0) finish_stored_tiles();
  }

  // A chunk of columns of the tile whose rows of this warp begin at (row_, col_).
  __device__ void finish_chunk(Sums& sums, int i) {
    auto& leaving = shared_.leaving[warp_];
    const auto& sides = shared_.sides[sides_.place];
    if (i % a_piece == 0) {
      if (lane_ == 0) wait_for_stored_tiles<0>();
      __syncwarp();
    }
    float tile[2][4];  // of 8 columns each: two of row own_row_, two of that + 8
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int t = 2 * i + half;
      const float* const of = &sums[4 * t];
      const float4 column = sides.columns[4 * t + lane_ % 4];
      auto& [a, b, d, e] = tile[half];
      if constexpr (K::has_norm) {
        const RowNorm upper = sides.rows[own_row_], lower = sides.rows[own_row_ + 8];
        a = fmaf(upper.scale, of[0], fmaf(upper.shift, column.x, column.z));
        b = fmaf(upper.scale, of[1], fmaf(upper.shift, column.y, column.w));
        d = fmaf(lower.scale, of[2], fmaf(lower.shift, column.x, column.z));
        e = fmaf(lower.scale, of[3], fmaf(lower.shift, column.y, column.w));
      } else {
        a = of[0] + column.z, b = of[1] + column.w, d = of[2] + column.z, e = of[3] + column.w;
      }
      activate<K::activation>(a, b), activate<K::activation>(d, e);
    }
    put(leaving, i % a_piece, tile);
    if (i % a_piece != a_piece - 1) return;
    show_to_wgmma();
    __syncwarp();
    if (lane_ == 0) store_tile(maps_.y, row_, col_ + i / a_piece * K::piece, &leaving);
    if (i != chunks - 1) return;
    shared_.sides_empty[sides_.place].arrive();  // each for itself: racecheck follows no barrier for what other lanes read
    sides_ = sides_.next(2);
  }

  // Chunk i of a piece, rounded to nearest.
  __device__ void put(std::byte (&leaving)[warp_m][swizzled_row], int i, const float (&tile)[2][4]) {
    std::byte* const to = &leaving[0][0];
    if constexpr (std::is_same_v<Result, float>) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int of_row = 4 * i + 2 * half + lane_ % 4 / 2, in_it = lane_ % 2 * 8;
        *reinterpret_cast<float2*>(to + swizzled(lane_ / 4, of_row) + in_it) = make_float2(tile[half][0], tile[half][1]);
        *reinterpret_cast<float2*>(to + swizzled(lane_ / 4 + 8, of_row) + in_it) = make_float2(tile[half][2], tile[half][3]);
      }
    } else {
      // Of 8 x 8 elements: upper and lower rows of the first eight columns, and of the next.
      const std::uint32_t matrices[4] = {pair<T>(tile[0][0], tile[0][1]), pair<T>(tile[0][2], tile[0][3]),
                                         pair<T>(tile[1][0], tile[1][1]), pair<T>(tile[1][2], tile[1][3])};
      store_matrices(to + swizzled(lane_ % 16, 2 * i + lane_ / 16), matrices);
    }
  }

  const HopperCall& c_;
  const Maps& maps_;
  Shared<T>& shared_;
  const int group_, warp_, lane_, own_row_;  // own_row_: of the block's
  const bool tells_;
  Tiles tiles_;
  Turn turn_;
  Turn sides_;
  int row_ = 0, col_ = 0;  // of this warp's rows
};

template <class K>
__global__ void __launch_bounds__(threads, 1) overlapped_kernel(HopperCall c, const __grid_constant__ Maps maps) {
  // Nothing lies ahead of it but the 1024 bytes that the card keeps, and there is no room to move it to where it should be.
  auto& shared = *reinterpret_cast<Shared<typename K::Element>*>(dynamic_shared());
  if (shared_address(&shared) % swizzled_alignment != 0) __trap();
  if (threadIdx.x == 0) {
    prefetch_map(maps.w), prefetch_map(maps.x), prefetch_map(maps.y);
    for (int i = 0; i < steps_ahead; ++i) {
      shared.full[i].begin(1);
      shared.empty[i].begin(4);  // both groups of both blocks
    }
    for (int i = 0; i < 2; ++i) shared.sides_full[i].begin(preparing), shared.sides_empty[i].begin(32 * multiplying_warps);
    show_arrivals();
  }
  arrive_in_cluster();
  wait_for_cluster();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (thread == 0) fetch_steps(c, maps, shared);
    if (thread >= 32) {
      wait_for_earlier_kernel();
      prepare_sides<K>(c, shared, thread - 32);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    Group<K>(c, maps, shared, thread - 128).work();
  }
  __syncwarp();
  arrive_in_cluster();
  wait_for_cluster();  // nobody's shared memory goes while another writes to it
}

template <class K>
std::string launch_overlapped(const HopperCall& call) {
  using T = typename K::Element;
  if ((call.k + depth - 1) / depth < chunks) return "k is too short to finish a tile in";
  if (call.norm.parts > most_parts) return "rows have more moments than are read";
  Maps maps;
  for (const std::string& failed : {describe<T>(maps.x, call.x.data, call.x.stride, call.m, call.k, tile_m),
                                    describe<T>(maps.w, call.w.data, call.w.stride, call.n, call.k, tile_n / 2),
                                    describe<typename K::Result>(maps.y, call.y.data, call.y.stride, call.m, call.n, warp_m)})
    if (!failed.empty()) return failed;
  const int pairs = (call.m + 2 * tile_m - 1) / (2 * tile_m) * ((call.n + tile_n - 1) / tile_n);
  return launch_in_clusters(2, dim3(2 * static_cast<unsigned>(min(pairs, call.multiprocessors / 2))), threads, sizeof(Shared<T>),
                            call.stream, overlapped_kernel<K>, call, maps);
}

template <class T, HopperActivation A>
std::string run(const HopperCall& call) {
  return call.norm.data != nullptr ? launch_overlapped<Kind<T, T, A, true>>(call) : launch_overlapped<Kind<T, T, A, false>>(call);
}

template <class T>
std::string run(const HopperCall& call) {
  if (call.residual.data != nullptr || call.moments.data != nullptr) return "overlapped products add nothing and keep no moments";
  if (call.f32_results && (call.activation != HopperActivation::none || call.norm.data != nullptr))
    return "results in f32 have nothing but a bias";
  if (call.f32_results) return launch_overlapped<Kind<T, float, HopperActivation::none, false>>(call);
  switch (call.activation) {
    case HopperActivation::none:
      return run<T, HopperActivation::none>(call);
    case HopperActivation::gelu:
      return run<T, HopperActivation::gelu>(call);
    case HopperActivation::gelu_tanh:
      return run<T, HopperActivation::gelu_tanh>(call);
  }
  return "there is no such activation";
}

}  // namespace

std::string run_overlapped_f16(const HopperCall& call) { return run<__half>(call); }
std::string run_overlapped_bf16(const HopperCall& call) { return run<__nv_bfloat16>(call); }

}  // namespace eaq::kernel_cuda
