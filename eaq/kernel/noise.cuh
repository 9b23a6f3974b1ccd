// Random numbers that need no state: the same for the same key and place, in any order, on the processor and on cards, which
// compile this one text.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define EAQ_EVERYWHERE __host__ __device__
#else
#define EAQ_EVERYWHERE
#endif

namespace eaq::noise {

/// SplitMix64 (Steele, Lea and Flood, 2014) of a number: all of its bits depend on all bits of `x`.
EAQ_EVERYWHERE inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// See eaq::draw_key.
EAQ_EVERYWHERE inline std::uint64_t draw_key(std::uint64_t seed, std::int64_t sequence, std::int64_t position) {
  return mixed(mixed(mixed(seed) ^ static_cast<std::uint64_t>(sequence)) ^ static_cast<std::uint64_t>(position));
}

/// See eaq::drawn_score. Rounded to f32 at the end, so that devices whose logarithms differ in the last bit draw the same.
EAQ_EVERYWHERE inline float drawn_score(float logit, double temperature, std::uint64_t key, std::int64_t token) {
  // Between 0 and 1, and neither.
  const double u = (static_cast<double>(mixed(key ^ static_cast<std::uint64_t>(token)) >> 12) + 0.5) * 0x1p-52;
  return static_cast<float>(logit / temperature - std::log(-std::log(u)));
}

}  // namespace eaq::noise
