// Attention with heads of 64 on Hopper's tensor cores, in the manner of FlashAttention (Dao, 2023; Shah et al., 2024): four warps
// have 64 queries of one head; tiles of 64 keys and values pass by; scores and weights never leave registers. While a tile's
// scores become weights, the tensor cores sum the values of the tile before by theirs. Two such groups share what the copy engine
// fetches, where there are queries for both, and do not wait for each other: what all have read, whoever was last replaces.
#include <cuda_runtime.h>

#include <algorithm>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/hopper/attention.h"
#include "eaq/kernel/cuda/hopper/bulk.cuh"
#include "eaq/kernel/cuda/hopper/wgmma.cuh"
#include "eaq/kernel/cuda/launch.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int tile = 64, head = 64;     // a tile: a group's queries, or keys
constexpr int most_places = 3;          // for tiles of keys and values
constexpr float most_summed = 1 << 12;  // of a lane's weights in a tile; far from what f16 holds

template <class T>
using Tile = T[tile][head];  // swizzled

template <class T>
struct Place {
  Tile<T> keys, values;
};

// In shared memory.
struct Progress {
  Arrivals queries, keys[most_places], values[most_places];
  unsigned left[most_places];  // warps that have read what was there
};

struct Maps {
  CUtensorMap queries, keys, values;
};

// What the values come from is not moved behind what the card is asked to do next, nor what is made of them ahead of what it was
// asked to do before.
__device__ inline void hold(float (&values)[32]) {
#pragma unroll
  for (float& value : values) asm volatile("" : "+f"(value));
}

__device__ inline std::byte* swizzled_place(void* first_row, int row, int piece) {
  return static_cast<std::byte*>(first_row) + swizzled(row, piece);
}

template <class T, int Groups, bool Masked>
__global__ void __launch_bounds__(128 * Groups, 4 / Groups)
    hopper_attention_kernel(AttentionView a, int places, int rows, const __grid_constant__ Maps maps) {
  constexpr int queries = Groups * tile;
  __shared__ Progress progress;
  // What wgmma reads lies at multiples of 1024.
  const std::uint32_t start = shared_address(dynamic_shared());
  auto* const own_queries = reinterpret_cast<Tile<T>*>(
      dynamic_shared() + ((start + swizzled_alignment - 1) / swizzled_alignment * swizzled_alignment - start));
  auto* const place = reinterpret_cast<Place<T>*>(own_queries + Groups);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, group = warp / 4;
  if (threadIdx.x == 0) {
    prefetch_map(maps.queries), prefetch_map(maps.keys), prefetch_map(maps.values);
    progress.queries.begin(1);
    for (int i = 0; i < most_places; ++i) progress.keys[i].begin(1), progress.values[i].begin(1), progress.left[i] = 0;
    show_arrivals();
  }
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const SequenceView s(a, static_cast<int>(blockIdx.y));
  // Later queries see more keys: of all heads and sequences they begin first.
  const int block_first = queries * static_cast<int>(a.causal ? gridDim.z - 1 - blockIdx.z : blockIdx.z);
  if (block_first >= s.queries || s.keys < 1) return;
  const int groups = min(Groups, (s.queries - block_first + tile - 1) / tile);  // that have queries
  const auto tiles_of = [&](int g) { return (s.limit(a, min(block_first + (g + 1) * tile, s.queries) - 1) + tile - 1) / tile; };
  const int seen = s.limit(a, min(block_first + groups * tile, s.queries) - 1);  // keys, by any query here
  const int tiles = tiles_of(groups - 1), first_col = static_cast<int>(blockIdx.x) * head;
  const auto fetch = [&](int i, int at) {
    const auto row = static_cast<int>(s.first_key) + i * tile;
    progress.keys[at].expect(rows * swizzled_row);
    fetch_tile(&place[at].keys, maps.keys, row, first_col, progress.keys[at]);
    progress.values[at].expect(rows * swizzled_row);
    fetch_tile(&place[at].values, maps.values, row, first_col, progress.values[at]);
  };
  __syncthreads();
  if (threadIdx.x == 0) {
    progress.queries.expect(groups * rows * swizzled_row);
    for (int g = 0; g < groups; ++g)
      fetch_tile(own_queries + g, maps.queries, s.first_row + block_first + g * tile, first_col, progress.queries);
    for (int i = 0; i < min(places, tiles); ++i) fetch(i, i);
  }
  if (group >= groups) return;

  const int own_tiles = tiles_of(group);
  const int own_query = block_first + 16 * warp + lane / 4;  // and that + 8
  const int limits[2] = {s.limit(a, min(own_query, s.queries - 1)), s.limit(a, min(own_query + 8, s.queries - 1))};
  const int whole_below = s.limit(a, min(block_first + 16 * warp, s.queries - 1));
  const float factor = a.scale * 1.4426950408889634f;  // 2^(score factor) is one instruction
  const Described q = describe_swizzled(shared_address(own_queries + group)),
                  first_keys = describe_swizzled(shared_address(&place[0].keys)),
                  first_values = describe_swizzled(shared_address(&place[0].values));
  constexpr int a_place = Described::rows(sizeof(Place<T>) / swizzled_row);
  float scores[32], result[32] = {}, largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  std::uint32_t weights[tile / 16][4];

  const auto ask = [&](Turn at) {
    progress.keys[at.place].wait(at.parity);
    const Described k = first_keys + at.place * a_place;
    wgmma_begin();
#pragma unroll
    for (int d = 0; d < head / 16; ++d) wgmma_64x64x16<T>(scores, q + 2 * d, k + 2 * d, d > 0);
    wgmma_commit();
  };
  // The same by one warp: wgmma is of four, which need not be of one mind.
  const auto ask_alone = [&](Turn at) {
    int own = lane;
    asm volatile("" : "+r"(own));  // so that no register holds an address for what is rarely done
#pragma unroll
    for (int n = 0; n < tile / 16; ++n) {
      float left[4] = {}, right[4] = {};
#pragma unroll
      for (int d = 0; d < head / 16; ++d) {
        std::uint32_t asked[4], k[4];
        load_matrices(asked, swizzled_place(own_queries, 16 * warp + own % 16, 2 * d + own / 16));
        load_matrices(k, swizzled_place(&place[at.place].keys, 16 * n + own / 16 * 8 + own % 8, 2 * d + own / 8 % 2));
        mma_16x8x16<T>(left, asked, {k[0], k[1]});
        mma_16x8x16<T>(right, asked, {k[2], k[3]});
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[8 * n + e] = left[e], scores[8 * n + 4 + e] = right[e];
    }
    show_to_wgmma();  // what was read here the copy engine may replace
  };
  const auto add_values = [&](Turn at) {
    const Described v = first_values + at.place * a_place;
    wgmma_begin();
#pragma unroll
    for (int key = 0; key < tile / 16; ++key) wgmma_64x64x16<T>(result, weights[key], v + key * Described::rows(16));
    wgmma_commit();
  };
  const auto hide = [&](int i) {
    const int first_key = i * tile;
    const auto key_of = [&](int e) { return first_key + e / 4 * 8 + lane % 4 * 2 + e % 2; };
    if (first_key + tile > whole_below) {
#pragma unroll
      for (int e = 0; e < 32; ++e) scores[e] = key_of(e) < limits[e / 2 % 2] ? scores[e] : -INFINITY;
    }
    if constexpr (Masked) {
#pragma unroll
      for (int e = 0; e < 32; ++e)
        if (key_of(e) < limits[e / 2 % 2] && !s.shown(a, key_of(e))) scores[e] = hidden_score;
    }
  };
  // Scores to weights, not rounded yet: powers of two of what they exceed a shift by. What this lane's columns sum up to.
  const auto weigh = [&] {
    float2 sums;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float shift = largest[half] * factor;
      float of[4] = {};
#pragma unroll
      for (int e = 2 * half; e < 32; e += 4) {
        scores[e] = exp2_approximate(fmaf(scores[e], factor, -shift));
        scores[e + 1] = exp2_approximate(fmaf(scores[e + 1], factor, -shift));
        of[e / 4 % 4] += scores[e] + scores[e + 1];
      }
      (half == 0 ? sums.x : sums.y) = (of[0] + of[1]) + (of[2] + of[3]);
    }
    return sums;
  };
  // The shift is the largest score of the row when it was set. It is set anew, and what was summed before rescaled, only where
  // weights became too large.
  const auto set_shift = [&] {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float now = largest[half];
#pragma unroll
      for (int e = 2 * half; e < 32; e += 4) now = fmaxf(now, fmaxf(scores[e], scores[e + 1]));
      now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
      now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
      const float rescale = exp2_approximate((largest[half] - now) * factor);
      largest[half] = now, sum[half] *= rescale;
#pragma unroll
      for (int e = 2 * half; e < 32; e += 4) result[e] *= rescale, result[e + 1] *= rescale;
    }
  };
  const auto round = [&] {
#pragma unroll
    for (int e = 0; e < 16; ++e) weights[e / 4][e % 4] = pair<T>(scores[2 * e], scores[2 * e + 1]);
  };
  // A tile's values beyond what is seen are another sequence's, or nobody's: no weight makes them nothing if they are no numbers.
  const auto clear_values = [&](int i, Turn at) {
    if ((i + 1) * tile <= seen) return;
    const int takers = i < tiles_of(0) ? groups : 1;  // the last group has the most tiles
    if (group == groups - 1) {
      constexpr int pieces = head / 8;
      for (int p = static_cast<int>(threadIdx.x) % 128; p < tile * pieces; p += 128)
        if (i * tile + p / pieces >= seen)
          *reinterpret_cast<uint4*>(swizzled_place(&place[at.place].values, p / pieces, p % pieces)) = make_uint4(0, 0, 0, 0);
      show_to_wgmma();
    }
    asm volatile("bar.sync 1, %0;" ::"r"(128 * takers) : "memory");
  };
  // Whoever is the last to leave a tile fetches another to its place.
  const auto leave = [&](int i, Turn at) {
    __syncwarp();
    if (lane == 0 && i + places < tiles) {
      unsigned before;
      asm volatile("atom.shared::cta.acq_rel.cta.add.u32 %0, [%1], 1;"
                   : "=r"(before)
                   : "r"(shared_address(&progress.left[at.place]))
                   : "memory");
      const unsigned warps = 4 * static_cast<unsigned>(groups);  // a power of two
      if (((before + 1) & (warps - 1)) == 0) fetch(i + places, at.place);
    }
    __syncwarp();
  };

  __syncwarp();
  progress.queries.wait(0);
  Turn at;
  ask(at);
  wgmma_wait<0>();
  hold(scores);
  hide(0);
  set_shift();
  float2 sums = weigh();
  for (int i = 0;; ++i) {
    sum[0] += sums.x, sum[1] += sums.y;  // joined with other lanes' at the end
    round();
    progress.values[at.place].wait(at.parity);
    if (i + 1 == own_tiles) break;
    const Turn next = at.next(places);
    ask(next);
    add_values(at);
    wgmma_wait<1>();
    hold(scores);
    hide(i + 1);
    sums = weigh();
    // Weights are computed before products are waited for: the compiler would wait first, but not beyond another wait.
    hold(scores);
    progress.keys[next.place].wait(next.parity);  // over since ask()
    wgmma_wait<0>();
    hold(result);
    if (!__all_sync(0xffffffffu, sums.x <= most_summed && sums.y <= most_summed)) {
      ask_alone(next);
      hide(i + 1);
      set_shift();
      sums = weigh();
    }
    leave(i, at);
    at = next;
  }
  clear_values(own_tiles - 1, at);
  add_values(at);
  wgmma_wait<0>();
  hold(result);

  // Results by way of the queries' place, so that whole pieces are stored. A warp's rows are its own, once no product reads them.
  asm volatile("bar.sync %0, 128;" ::"r"(2 + group) : "memory");
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = sum[half];
    total += __shfl_xor_sync(0xffffffffu, total, 1);
    total += __shfl_xor_sync(0xffffffffu, total, 2);
    const float share = 1 / total;
    const int row = 16 * warp + lane / 4 + 8 * half;
#pragma unroll
    for (int t = 0; t < 8; ++t)
      *reinterpret_cast<std::uint32_t*>(swizzled_place(own_queries, row, t) + lane % 4 * 4) =
          pair<T>(result[4 * t + 2 * half] * share, result[4 * t + 2 * half + 1] * share);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = 16 * warp + 4 * i + lane / 8, piece = lane % 8;
    if (block_first + row >= s.queries) continue;
    *reinterpret_cast<uint4*>(a.out.data + ((s.first_out + block_first + row) * a.out.stride + first_col + piece * 8) * 2) =
        *reinterpret_cast<const uint4*>(swizzled_place(own_queries, row, piece));
  }
}

template <class T, int Groups>
void submit(CudaContext& context, const AttentionCall& call) {
  const AttentionView view = view_of(call);
  const std::int64_t width = static_cast<std::int64_t>(call.heads) * head,
                     keys = view.cached ? call.sequences * view.capacity : call.rows;
  const int rows = view.cached ? tile : static_cast<int>(std::min<std::int64_t>(tile, (call.longest + 7) / 8 * 8));  // of a tile
  Maps maps;
  for (const std::string& failed : {describe<T>(maps.queries, view.qkv.data, view.qkv.stride, call.rows, width, rows),
                                    describe<T>(maps.keys, view.keys.data, view.keys.stride, keys, width, rows),
                                    describe<T>(maps.values, view.values.data, view.values.stride, keys, width, rows)})
    if (!failed.empty())
      throw Error(ErrorKind::unavailable,
                  "attention on Hopper's tensor cores: " + failed + place_of(std::source_location::current()));
  const auto blocks = static_cast<unsigned>((call.longest + Groups * tile - 1) / (Groups * tile));
  const int places =
      view.cached ? most_places : static_cast<int>(std::min<std::int64_t>(most_places, (call.longest + tile - 1) / tile));
  launch(context, "attention on Hopper's tensor cores",
         {dim3(static_cast<unsigned>(call.heads), static_cast<unsigned>(call.sequences), blocks), dim3(128 * Groups),
          Groups * sizeof(Tile<T>) + static_cast<std::size_t>(places) * sizeof(Place<T>) + swizzled_alignment},
         call.mask != nullptr ? hopper_attention_kernel<T, Groups, true> : hopper_attention_kernel<T, Groups, false>, view,
         places, rows, maps);
}

// Two groups a block, unless one is enough or multiprocessors would be left without a block.
template <class T>
void submit(CudaContext& context, const AttentionCall& call) {
  const std::int64_t blocks = (call.longest + 2 * tile - 1) / (2 * tile) * call.heads * call.sequences;
  if (call.longest <= tile || blocks < context.multiprocessors()) return submit<T, 1>(context, call);
  submit<T, 2>(context, call);
}

}  // namespace

bool fits_hopper_attention(const CudaContext& context, const AttentionCall& call) {
  return context.architecture() == 90 && call.head_dim == head && call.scale > 0 && fits_tensor_cores(context, call) &&
         call.out.stride % 8 == 0 && reinterpret_cast<std::uintptr_t>(call.out.data) % 16 == 0;
}

void attention_on_hopper(CudaContext& context, const AttentionCall& call) {
  call.qkv.dtype == DType::f16 ? submit<__half>(context, call) : submit<__nv_bfloat16>(context, call);
}

}  // namespace eaq::kernel_cuda
