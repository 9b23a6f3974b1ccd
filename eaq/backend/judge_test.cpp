// Every device's judge of logits against the one in the host's memory.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "eaq/backend/host_judge.h"
#include "eaq/backend/testing.h"

namespace eaq {
namespace {

using namespace testing_backend;

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

// Rows of logits, each `stride` apart, with what a row's end must not show: a NaN that would win and count.
struct Rows {
  std::int64_t cols, stride;
  std::vector<float> values;

  explicit Rows(std::int64_t width) : cols(width), stride((width + 63) / 64 * 64) {}
  std::int64_t count() const { return static_cast<std::int64_t>(values.size()) / stride; }
  std::span<float> add(std::span<const float> row) {
    values.resize(values.size() + static_cast<std::size_t>(stride), nan_value);
    std::span<float> added = std::span(values).last(static_cast<std::size_t>(stride)).first(static_cast<std::size_t>(cols));
    std::copy_n(row.begin(), cols, added.begin());
    return added;
  }
  Matrix in(std::byte* memory) const { return {DType::f32, memory, count(), cols, stride}; }
};

struct Judged {
  std::vector<RowOutcome> reference, other;
};

constexpr std::int64_t untouched = -77;  // of what a judge must leave alone

Judged judged(Judge& judge, const Matrix& reference, const Matrix& other, std::span<const std::int32_t> targets) {
  RowOutcome mark;
  mark.non_finite = untouched;
  Judged all{std::vector(targets.size(), mark), std::vector(targets.size(), mark)};
  judge.judge_reference(reference, targets, all.reference);
  judge.judge(other, targets, all.other, true);
  return all;
}

void expect_close(double got, double wanted, double tolerance, const std::string& what) {
  if (std::isnan(wanted))
    EXPECT_TRUE(std::isnan(got)) << what << ": " << got;
  else if (std::isinf(wanted))
    EXPECT_EQ(got, wanted) << what;
  else
    EXPECT_NEAR(got, wanted, tolerance) << what;
}

void expect_same(const std::vector<RowOutcome>& got, const std::vector<RowOutcome>& wanted, const std::string& where) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string what = where + ", row " + std::to_string(i);
    EXPECT_EQ(got[i].non_finite, wanted[i].non_finite) << what;
    if (wanted[i].non_finite == untouched) continue;
    EXPECT_EQ(got[i].argmax, wanted[i].argmax) << what;
    EXPECT_EQ(got[i].flipped, wanted[i].flipped) << what;
    expect_close(got[i].nll, wanted[i].nll, 1e-6 * (1 + std::abs(wanted[i].nll)), what + ", nll");
    expect_close(got[i].kl, wanted[i].kl, 1e-6 + 1e-5 * std::abs(wanted[i].kl), what + ", kl");
  }
}

// Rows of the reference and of what is held against it: plain ones, equal maxima, a shift, and every kind of what is no number.
void fill(Rows& reference, Rows& other) {
  const auto n = static_cast<std::size_t>(reference.cols);
  const auto plain = random_vector(reference.cols, 1), change = random_vector(reference.cols, 2);
  std::vector<float> near = *plain, even(n, 1.5f);
  for (std::size_t i = 0; i < n; ++i) near[i] += 0.01f * (*change)[i];
  reference.add(*plain), other.add(near);
  reference.add(even), other.add(even);  // the lowest index among equals
  std::vector<float> two = *plain;
  two[n / 3] = two[n - 1] = 40;
  reference.add(two), other.add(*change);
  for (float& x : near) x += 1000;  // changes no probability
  reference.add(*plain), other.add(near);
  for (const float odd : {nan_value, infinity, -infinity})
    for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
      reference.add(*plain), other.add(near)[at] = odd;
      reference.add(*plain)[at] = odd, other.add(near);
    }
  reference.add(*plain), other.add(std::vector<float>(n, nan_value));
  reference.add(*plain), other.add(std::vector<float>(n, -infinity));
}

TEST(Judges, AgreeWithTheHostsOnEveryKindOfRow) {
  for (const std::int64_t width : {1, 7, 1000, 50257}) {
    Rows reference(width), other(width);
    fill(reference, other);
    std::vector<std::int32_t> targets;
    for (std::int64_t r = 0; r < reference.count(); ++r)
      targets.push_back(r % 5 == 4 ? -1 : static_cast<std::int32_t>(r * 7919 % width));
    HostJudge host(2);
    const Judged wanted = judged(host, reference.in(reinterpret_cast<std::byte*>(reference.values.data())),
                                 other.in(reinterpret_cast<std::byte*>(other.values.data())), targets);
    EXPECT_EQ(wanted.reference[1].argmax, 0);
    for (const auto& row : backends()) {
      if (row.entry == nullptr || !row.entry->unavailable_reason().empty()) continue;
      const auto context = row.entry->make_context({.threads = 2});
      const auto judge = row.entry->make_judge(*context);
      const std::size_t bytes = reference.values.size() * sizeof(float);
      const DeviceMemory a = context->allocate(bytes, "logits"), b = context->allocate(bytes, "logits");
      context->upload(a.data(), std::as_bytes(std::span(reference.values)));
      context->upload(b.data(), std::as_bytes(std::span(other.values)));
      const std::string where = std::string(row.name) + ", " + std::to_string(width) + " logits";
      const Judged got = judged(*judge, reference.in(a.data()), other.in(b.data()), targets);
      expect_same(got.reference, wanted.reference, where + ", reference");
      expect_same(got.other, wanted.other, where);
      const RangeSummary range = judge->range(other.in(b.data()).slice(0, 6)),
                         host_range = host.range(other.in(reinterpret_cast<std::byte*>(other.values.data())).slice(0, 6));
      EXPECT_EQ(range.max_abs, host_range.max_abs) << where;
      EXPECT_EQ(range.non_finite, host_range.non_finite) << where;
    }
  }
}

}  // namespace
}  // namespace eaq
