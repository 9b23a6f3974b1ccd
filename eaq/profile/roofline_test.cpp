#include <gtest/gtest.h>

#include <cmath>

#include "eaq/profile/findings.h"
#include "eaq/profile/testing.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

using profile_testing::figure;
using profile_testing::row;

// Rows of which time, flops and bytes go their own ways, over three decades; joules as a known device spends them.
std::vector<SiteRecord> rows_of(int count, double watts, double pj_flop, double pj_byte, double noise, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<SiteRecord> rows;
  for (int i = 0; i < count; ++i) {
    SiteRecord s = row("site" + std::to_string(i), "linear", 1);
    const double size = std::pow(10, -3 * rng.uniform());
    s.flops = 1e12 * size * rng.uniform();
    s.bytes = 1e9 * size * rng.uniform();
    const double ms = 10 * size * (0.2 + rng.uniform());
    s.time_ms = figure(ms, ms * 0.01);
    const double mJ = watts * ms + (pj_flop * s.flops + pj_byte * s.bytes) * 1e-9;
    s.mJ = figure(mJ * (1 + noise * rng.normal()), noise * mJ * 1.96);
    rows.push_back(s);
  }
  return rows;
}

std::optional<RooflineRecord> fitted(std::vector<SiteRecord> rows, std::optional<double> idle_W = {}) {
  return fit_roofline(rows, idle_W);
}

TEST(Roofline, FindsTheTermsOfADeviceThatIsOne) {
  const auto found = fitted(rows_of(40, 100, 0.5, 60, 0, 1));
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->static_W.mean, 100, 1e-6);
  EXPECT_NEAR(found->pJ_per_flop.mean, 0.5, 1e-8);
  EXPECT_NEAR(found->pJ_per_byte.mean, 60, 1e-6);
  EXPECT_NEAR(found->r2, 1, 1e-9);
  EXPECT_TRUE(found->notes.empty());
}

TEST(Roofline, AtAPowerCapStaticPowerIsTheIdlePowerAndNotTheCap) {
  // A device that draws 700 W whatever it does, 130 of them idle: time is what arithmetic and memory take at that power.
  auto rows = rows_of(40, 130, 0.5, 60, 0, 6);
  for (SiteRecord& s : rows) {
    const double spent = (0.5 * s.flops + 60 * s.bytes) * 1e-9;  // mJ
    s.time_ms = figure(spent / (700 - 130), 0);
    s.mJ = figure(700 * s.time_ms->mean, 0);
  }
  const auto blind = fitted(rows), found = fitted(rows, 130);
  ASSERT_TRUE(blind && found);
  EXPECT_NEAR(blind->static_W.mean, 700, 1);
  EXPECT_EQ(found->static_W.mean, 130);
  EXPECT_NEAR(found->pJ_per_flop.mean, 0.5, 1e-6);
  EXPECT_NEAR(found->pJ_per_byte.mean, 60, 1e-4);
  EXPECT_NEAR(found->r2, 1, 1e-9);
  ASSERT_EQ(found->notes.size(), 1u);
  EXPECT_NE(found->notes[0].find("idle power"), std::string::npos);
}

TEST(Roofline, ItsIntervalsHoldTheTruthAboutAsOftenAsTheySay) {
  int held = 0, tries = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto found = fitted(rows_of(60, 100, 0.5, 60, 0.05, seed));
    ASSERT_TRUE(found && found->static_W.ci95 && found->pJ_per_flop.ci95 && found->pJ_per_byte.ci95);
    for (const auto& [f, truth] :
         {std::pair{found->static_W, 100.0}, std::pair{found->pJ_per_flop, 0.5}, std::pair{found->pJ_per_byte, 60.0}}) {
      held += f.ci95->first <= truth && truth <= f.ci95->second ? 1 : 0;
      ++tries;
    }
  }
  EXPECT_GE(held, 0.88 * tries);
}

TEST(Roofline, NoTermIsBelowNothing) {
  // Joules that fall with bytes: the best plain fit has a negative term.
  auto rows = rows_of(30, 100, 0.5, 0, 0, 2);
  for (SiteRecord& s : rows) s.mJ = figure(s.mJ->mean - 5e-9 * s.bytes, 0);
  const auto found = fitted(rows);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->pJ_per_byte.mean, 0);
  EXPECT_GE(found->static_W.mean, 0);
  EXPECT_GE(found->pJ_per_flop.mean, 0);
}

TEST(Roofline, TermsThatCannotBeToldApartAreOne) {
  auto rows = rows_of(30, 0, 0.5, 60, 0, 3);
  for (SiteRecord& s : rows) s.flops = s.time_ms->mean * 1e10;
  const auto found = fitted(rows);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->notes.size(), 1u);
  EXPECT_NE(found->notes[0].find("flops"), std::string::npos) << found->notes[0];
  EXPECT_FALSE(found->pJ_per_flop.ci95);
  EXPECT_TRUE(found->static_W.ci95);
}

TEST(Roofline, FourRowsAreTheFewest) {
  EXPECT_TRUE(fitted(rows_of(4, 100, 0.5, 60, 0, 4)));
  EXPECT_FALSE(fitted(rows_of(3, 100, 0.5, 60, 0, 4)));
  auto fused = rows_of(4, 100, 0.5, 60, 0, 4);
  fused[0].mJ.reset();
  EXPECT_FALSE(fitted(fused));
}

// 100 W, 0.5 pJ a flop, 60 pJ a byte; three more rows of one kind each, and one in which two terms are alike.
std::vector<SiteRecord> bounded(double noise) {
  std::vector<SiteRecord> rows = rows_of(40, 100, 0.5, 60, noise, 5);
  const auto add = [&](double ms, double flops, double bytes) {
    SiteRecord s = row("of a kind", "linear", 1);
    s.flops = flops, s.bytes = bytes;
    s.time_ms = figure(ms, ms * 0.01);
    s.mJ = figure(100 * ms + (0.5 * flops + 60 * bytes) * 1e-9, noise * 100);
    rows.push_back(s);
  };
  add(5, 1e11, 1e6);
  add(1, 5e12, 1e6);
  add(1, 1e10, 5e10);
  add(0.1, 1e12, 1e12 * 0.5 / 60);
  return rows;
}

TEST(Roofline, ABoundIsTheLargestTermWhereResamplesAgree) {
  auto rows = bounded(0.02);
  rows.push_back(row("without time", "linear", 1));
  ASSERT_TRUE(fit_roofline(rows));
  EXPECT_EQ(rows[40].bound_by, "static");
  EXPECT_EQ(rows[41].bound_by, "arithmetic");
  EXPECT_EQ(rows[42].bound_by, "memory");
  EXPECT_EQ(rows[43].bound_by, "");  // half of its joules are either's
  EXPECT_EQ(rows[44].bound_by, "");
}

TEST(Roofline, NoBoundIsNamedWhereTermsCannotBeToldApart) {
  auto rows = bounded(0.01);
  for (SiteRecord& s : rows) s.flops = s.time_ms->mean * 1e10, s.bound_by = "memory";
  ASSERT_TRUE(fit_roofline(rows));
  for (const SiteRecord& s : rows) EXPECT_EQ(s.bound_by, "");
}

}  // namespace
}  // namespace eaq
