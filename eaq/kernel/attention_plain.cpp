// Attention row by row, until the blockwise kernel (attention.cpp) takes its place; delete this file then.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "eaq/kernel/kernel.h"
#include "eaq/kernel/storage.h"

namespace eaq {
namespace {

template <class T, class K>
void one_head(const AttentionShape& s, const AttentionSequence& a, std::int64_t column) {
  const T* q = reinterpret_cast<const T*>(a.q) + column;
  const K* k = reinterpret_cast<const K*>(a.k) + column;
  const K* v = reinterpret_cast<const K*>(a.v) + column;
  T* out = reinterpret_cast<T*>(a.out) + column;
  std::vector<float> p(static_cast<std::size_t>(a.keys)), mixed(static_cast<std::size_t>(s.head_dim));
  for (std::int64_t i = 0; i < a.queries; ++i) {
    const std::int64_t keys = s.causal ? a.keys - a.queries + i + 1 : a.keys;
    const bool any = a.mask == nullptr || std::any_of(a.mask, a.mask + keys, [](std::uint8_t m) { return m != 0; });
    float top = -std::numeric_limits<float>::infinity();
    for (std::int64_t j = 0; j < keys; ++j) {
      float dot = 0;
      for (int c = 0; c < s.head_dim; ++c)
        dot += static_cast<float>(q[i * a.q_stride + c]) * static_cast<float>(k[j * a.k_stride + c]);
      const bool hidden = a.mask != nullptr && a.mask[j] == 0;
      p[static_cast<std::size_t>(j)] = !any ? 0 : hidden ? -std::numeric_limits<float>::infinity() : dot * s.scale;
      top = std::max(top, p[static_cast<std::size_t>(j)]);
    }
    float sum = 0;
    std::fill(mixed.begin(), mixed.end(), 0.0f);
    for (std::int64_t j = 0; j < keys; ++j) {
      const float weight = std::exp(p[static_cast<std::size_t>(j)] - top);
      sum += weight;
      for (int c = 0; c < s.head_dim; ++c)
        mixed[static_cast<std::size_t>(c)] += weight * static_cast<float>(v[j * a.v_stride + c]);
    }
    for (int c = 0; c < s.head_dim; ++c) out[i * a.out_stride + c] = static_cast<T>(mixed[static_cast<std::size_t>(c)] / sum);
  }
}

}  // namespace

void attention(CpuContext& context, const AttentionShape& shape, std::span<const AttentionSequence> sequences) {
  with_storage(shape.dtype, [&]<class T>(T*) {
    with_storage(shape.kv_dtype, [&]<class K>(K*) {
      context.parallel(static_cast<std::int64_t>(sequences.size()) * shape.heads, [&](std::int64_t task, int) {
        one_head<T, K>(shape, sequences[static_cast<std::size_t>(task / shape.heads)], task % shape.heads * shape.head_dim);
      });
    });
  });
}

}  // namespace eaq
