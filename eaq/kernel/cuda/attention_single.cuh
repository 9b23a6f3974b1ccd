// A softmax of one query over keys of which every lane, and every warp, has some: what the two kernels for it share. Eight lanes
// share a key's elements, so a warp takes four keys at once.
#pragma once

#include "eaq/kernel/cuda/elements.cuh"

namespace eaq::kernel_cuda {

constexpr int lanes_a_key = 8, keys_at_once = 32 / lanes_a_key;

template <int Own>  // elements of a head that one lane holds
struct Partial {    // a softmax over some of the keys
  float largest = -INFINITY, sum = 0;
  float weighted[Own] = {};  // of v, this lane's elements

  __device__ void rescale_to(float new_largest) {
    if (new_largest == largest) return;
    const float factor = largest == -INFINITY ? 0.0f : __expf(largest - new_largest);
    sum *= factor;
#pragma unroll
    for (float& w : weighted) w *= factor;
    largest = new_largest;
  }
  __device__ void take(float score, const float (&v)[Own]) {
    rescale_to(fmaxf(largest, score));
    const float weight = __expf(score - largest);
    sum += weight;
#pragma unroll
    for (int i = 0; i < Own; ++i) weighted[i] += weight * v[i];
  }
  /// Joins those of the lanes that hold the same elements of other keys.
  __device__ void join_lanes() {
#pragma unroll
    for (int offset = lanes_a_key; offset < 32; offset *= 2) {
      const float other_largest = __shfl_xor_sync(0xffffffffu, largest, offset);
      const float both = fmaxf(largest, other_largest);
      if (both != -INFINITY) rescale_to(both);
      sum += __shfl_xor_sync(0xffffffffu, sum, offset);
#pragma unroll
      for (float& w : weighted) w += __shfl_xor_sync(0xffffffffu, w, offset);
    }
  }
};

/// A query times a key, joined over the lanes that share it.
template <int Own>
__device__ float score_of(const float (&q)[Own], const float (&k)[Own]) {
  float score = 0;
#pragma unroll
  for (int i = 0; i < Own; ++i) score += q[i] * k[i];
#pragma unroll
  for (int offset = lanes_a_key / 2; offset > 0; offset /= 2) score += __shfl_xor_sync(0xffffffffu, score, offset);
  return score;
}

/// What warps found, in shared memory. Elements lie as a head has them: group i of V of a lane is lane i * 8 + lane, ... of
/// those.
template <int V, int Own, int Warps>
struct Partials {
  float largest[Warps], sum[Warps], weighted[Warps][Own * lanes_a_key];

  /// By all lanes, after join_lanes(). A barrier must follow before joined().
  __device__ void put(int warp, int lane, const Partial<Own>& mine) {
    if (lane >= lanes_a_key) return;
    if (lane == 0) largest[warp] = mine.largest, sum[warp] = mine.sum;
#pragma unroll
    for (int i = 0; i < Own; ++i) weighted[warp][(i / V * lanes_a_key + lane) * V + i % V] = mine.weighted[i];
  }
  struct Joined {
    float largest, sum, weighted;
  };
  __device__ Joined joined(int col) const {
    Joined all{-INFINITY, 0, 0};
#pragma unroll
    for (int w = 0; w < Warps; ++w) all.largest = fmaxf(all.largest, largest[w]);
#pragma unroll
    for (int w = 0; w < Warps; ++w) {
      const float factor = largest[w] == -INFINITY ? 0.0f : __expf(largest[w] - all.largest);
      all.sum += factor * sum[w];
      all.weighted += factor * weighted[w][col];
    }
    return all;
  }
};

}  // namespace eaq::kernel_cuda
