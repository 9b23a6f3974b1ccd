#include "eaq/measure/lattice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

constexpr double period = 0.1, watts = 700;

// Edges of a steady load. Seen up to 9 ms late; the counter moves at the beat, or is read at the moment it is seen.
std::vector<Edge> edges_of(std::uint64_t seed, bool at_the_beat, int count = 400) {
  Rng rng(seed);
  std::vector<Edge> edges;
  for (int k = 0; k < count; ++k) {
    const double seen = 3 + k * period + 0.009 * rng.uniform();
    edges.push_back({seen, watts * (at_the_beat ? k * period : seen) + 0.05 * rng.normal()});
  }
  return edges;
}

ZoneRecord record_of(const std::vector<Edge>& edges) {
  ZoneRecord zone{"nvml:GPU-a", {.name = "GPU-a", .role = ZoneRole::gpu, .counter = true}, MeterLabel::measured, "nvml", {}};
  for (const Edge& e : edges) zone.samples.push_back({Seconds(e.time), Joules(e.joules), std::nullopt, Fault::none, {}});
  return zone;
}

TEST(Lattice, IsFoundToAHundredthOfTheJitter) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto lattice = find_lattice(edges_of(seed, true));
    ASSERT_TRUE(lattice.has_value());
    EXPECT_NEAR(lattice->period, period, 1e-5);
    EXPECT_NEAR(lattice->scatter, 0.009 / std::sqrt(12), 0.0005);
    EXPECT_NEAR(lattice->at(5.0) - 5.0, 0.0045, 0.001);  // as late as edges are seen on average
  }
}

TEST(Lattice, EdgesThatWereMissedDoNotBreakIt) {
  std::vector<Edge> edges = edges_of(1, true), some;
  Rng rng(2);
  for (const Edge& e : edges)
    if (rng.uniform() > 0.2) some.push_back(e);
  ASSERT_TRUE(find_lattice(some).has_value());
  EXPECT_NEAR(find_lattice(some)->period, period, 1e-5);
}

TEST(Lattice, ACounterReadAtTheMomentsSeenHasNone) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) EXPECT_FALSE(find_lattice(edges_of(seed, false)).has_value());
}

TEST(Lattice, LoadsThatComeAndGoDoNotHideIt) {
  std::vector<Edge> edges = edges_of(3, true);
  double lost = 0;
  for (std::size_t k = 1; k < edges.size(); ++k) {
    if (k / 7 % 2 == 1) lost += 600 * period;  // 100 W for seven beats, 700 W for seven
    edges[k].joules -= lost;
  }
  ASSERT_TRUE(find_lattice(edges).has_value());
  EXPECT_NEAR(find_lattice(edges)->period, period, 1e-5);
}

TEST(Lattice, IsNotSoughtInFewEdgesOrIrregularOnes) {
  EXPECT_FALSE(find_lattice(edges_of(4, true, 31)).has_value());
  std::vector<Edge> irregular;
  Rng rng(5);
  double t = 0;
  for (int k = 0; k < 400; ++k) irregular.push_back({t += 0.005 * (0.5 + rng.uniform()), 100 * t});
  EXPECT_FALSE(find_lattice(irregular).has_value());
}

TEST(Slope, OfAShortWindowIsSharperOnTheBeat) {
  std::vector<double> errors[2];
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (const bool whole : {false, true}) {
      std::vector<Edge> edges = edges_of(seed, true);
      for (double from = 5; from < 40; from += 1.7) {
        std::vector<Edge> near;  // few enough edges, and no beat is sought
        for (const Edge& e : edges)
          if (whole || std::abs(e.time - from - 0.25) < 1) near.push_back(e);
        const WindowEnergy e = window_energy(record_of(near), Seconds(from), Seconds(from + 0.5));
        ASSERT_TRUE(e.joules.has_value());
        errors[whole].push_back(std::abs(e.joules->value() / (watts * 0.5) - 1));
      }
    }
  std::printf("error of a 0.5 s window (95th of 100): %.2f %% by times seen, %.3f %% on the beat\n",
              100 * percentile(errors[0], 0.95), 100 * percentile(errors[1], 0.95));
  EXPECT_LT(percentile(errors[1], 0.95), 0.2 * percentile(errors[0], 0.95));
}

}  // namespace
}  // namespace eaq
