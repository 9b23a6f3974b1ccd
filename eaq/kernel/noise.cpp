#include "eaq/kernel/noise.cuh"

#include "eaq/kernel/kernel.h"

namespace eaq {

std::uint64_t draw_key(std::uint64_t seed, std::int64_t sequence, std::int64_t position) {
  return noise::draw_key(seed, sequence, position);
}

float drawn_score(float logit, double temperature, std::uint64_t key, std::int64_t token) {
  return noise::drawn_score(logit, temperature, key, token);
}

}  // namespace eaq
