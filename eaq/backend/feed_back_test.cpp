// What devices choose from rows of logits by themselves, held to what the processor chooses.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "eaq/backend/testing.h"

namespace eaq {
namespace {

constexpr std::int64_t sequences = 2;
constexpr std::int32_t first_place = 5;

// Few different values, so that equal ones stand on both sides of where tokens are left out.
std::vector<float> tied_logits(std::int64_t n, std::uint32_t salt) {
  std::mt19937 random(testing_backend::seed + salt);
  std::normal_distribution<float> normal(-3, 4);
  std::vector<float> logits(static_cast<std::size_t>(n));
  for (float& x : logits) x = std::round(4 * normal(random)) / 4;
  return logits;
}

TEST(FeedBack, ChoosesWhatTheProcessorChooses) {
  bool any = false;
  for (const auto& row : backends()) {
    if (row.entry == nullptr || !row.entry->unavailable_reason().empty() || !row.entry->feeds_back()) continue;
    any = true;
    const auto context = row.entry->make_context({});
    for (const std::int64_t n : {1, 37, 5000, 70001}) {  // of up to 16 index bits, and of 17: another pass
      const std::int64_t stride = n + 3;
      // The same rows high up and far below: what is kept from one step must not count in the next.
      std::vector<float> high, low;
      for (std::uint32_t s = 0; s < sequences; ++s) {
        std::vector<float> one = tied_logits(n, s);
        one.insert(one.end(), 3, 1e9f);  // beside the row
        high.insert(high.end(), one.begin(), one.end());
      }
      for (const float x : high) low.push_back(x - 500);
      const std::size_t bytes = high.size() * sizeof(float);
      const DeviceMemory memory = context->allocate(2 * bytes, "logits");
      context->upload(memory.data(), std::as_bytes(std::span(high)));
      context->upload(memory.data() + bytes, std::as_bytes(std::span(low)));
      const std::vector<std::int32_t> ids{0, 0}, places{first_place, first_place + 7}, row_begin{0, 1, 2}, past = places;
      const auto placed = row.entry->place(*context, {ids, places, row_begin, {}, past});
      std::int32_t step = 0;  // each call moves on by one place
      for (const std::int32_t top_k : {0, 1, 40, 100000})
        for (const double top_p : {1.0, 0.0, 0.4, 0.95}) {
          const Sampling how{.temperature = 0.8, .seed = 11, .top_k = top_k, .top_p = top_p};
          for (const bool is_low : {false, true}) {
            const std::vector<float>& logits = is_low ? low : high;
            ASSERT_TRUE(placed->feed_back({DType::f32, memory.data() + (is_low ? bytes : 0), sequences, n, stride}, how));
            ++step;
            std::vector<std::int32_t> wanted;
            for (std::int64_t s = 0; s < sequences; ++s)
              wanted.push_back(choose_token(logits.data() + s * stride, n, how, s, places[static_cast<std::size_t>(s)] + step));
            EXPECT_EQ(placed->fed_back(), wanted) << row.name << ", " << n << " tokens, top_k " << top_k << ", top_p " << top_p;
          }
        }
    }
  }
  if (!any) GTEST_SKIP() << "no device here feeds back";
}

}  // namespace
}  // namespace eaq
