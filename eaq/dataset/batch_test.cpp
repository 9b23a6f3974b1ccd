#include <gtest/gtest.h>

#include <algorithm>

#include "eaq/dataset/dataset.h"

namespace eaq {
namespace {

std::int64_t targets(const std::vector<Window>& all) {
  std::int64_t sum = 0;
  for (const Window& w : all) sum += w.targets;
  return sum;
}

/// Hugging Face's guide, as it stands there; its labels are shifted by one inside the model.
std::vector<Window> guide(std::int64_t tokens, std::int64_t window, std::int64_t stride) {
  std::vector<Window> out;
  std::int64_t previous_end = 0;
  for (std::int64_t begin = 0; begin < tokens; begin += stride) {
    const std::int64_t end = std::min(begin + window, tokens), fresh = end - previous_end;
    std::int64_t counted = 0;
    for (std::int64_t label = begin + 1; label < end; ++label) counted += label >= end - fresh;
    if (counted > 0) out.push_back({begin, end, counted});
    previous_end = end;
    if (end == tokens) break;
  }
  return out;
}

TEST(Windows, OfWikiText2PredictAllButOneTokenEach) {
  const auto all = windows(286'221, {.window = 1024, .stride = 1024});
  EXPECT_EQ(all.size(), 280u);
  EXPECT_EQ(targets(all), 285'941);
  EXPECT_EQ(all.back().end, 286'221);
  EXPECT_EQ(all.back().targets, 286'221 - 279 * 1024 - 1);
  EXPECT_EQ(targets(windows(287'644, {})), 287'644 - 281);
}

TEST(Windows, AreThoseOfTheGuide) {
  for (std::int64_t tokens = 0; tokens < 40; ++tokens)
    for (std::int64_t window = 2; window < 12; ++window)
      for (std::int64_t stride = 1; stride <= window; ++stride) {
        const auto ours = windows(tokens, {.window = window, .stride = stride}), theirs = guide(tokens, window, stride);
        ASSERT_EQ(ours.size(), theirs.size()) << tokens << " tokens, " << window << '/' << stride;
        for (std::size_t i = 0; i < ours.size(); ++i) {
          EXPECT_EQ(ours[i].begin, theirs[i].begin);
          EXPECT_EQ(ours[i].end, theirs[i].end);
          EXPECT_EQ(ours[i].targets, theirs[i].targets);
        }
      }
}

TEST(Windows, WithOverlapPredictEveryTokenButTheFirstOnce) {
  EXPECT_EQ(targets(windows(1000, {.window = 64, .stride = 32})), 999);
  EXPECT_EQ(targets(windows(1000, {.window = 64, .stride = 1})), 999);
}

TEST(Windows, OfOneTokenPredictNothingAndAreLeftOut) {
  EXPECT_TRUE(windows(0, {}).empty());
  EXPECT_TRUE(windows(1, {}).empty());
  EXPECT_EQ(windows(1025, {}).size(), 1u);
  EXPECT_EQ(windows(1026, {}).size(), 2u);
}

TEST(Windows, LimitKeepsTheFirst) {
  const auto all = windows(10'000, {.limit = 3});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.back().end, 3072);
}

TEST(Windows, StrideLiesBetweenOneAndTheWindow) {
  for (const WindowOptions bad : {WindowOptions{8, 0}, WindowOptions{8, 9}, WindowOptions{8, -1}, WindowOptions{1, 1}}) {
    try {
      windows(100, bad);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::usage);
    }
  }
}

Sentences three() {
  Sentences s;
  s.ids = {1, 2, 3, 4, 5, 6};
  s.begin = {0, 3, 4, 6};
  s.labels = {0, 1, 0};
  return s;
}

TEST(Batches, UnpaddedLieOneAfterAnother) {
  const auto all = make_batches(three(), {.sequences = 2});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].ids, (std::vector<std::int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(all[0].positions, (std::vector<std::int32_t>{0, 1, 2, 0}));
  EXPECT_EQ(all[0].row_begin, (std::vector<std::int32_t>{0, 3, 4}));
  EXPECT_EQ(all[0].lengths, (std::vector<std::int32_t>{3, 1}));
  EXPECT_EQ(all[0].labels, (std::vector<std::int32_t>{0, 1}));
  EXPECT_TRUE(all[0].key_mask.empty());
  EXPECT_EQ(all[1].first, 2);
  EXPECT_EQ(all[1].ids, (std::vector<std::int32_t>{5, 6}));
  EXPECT_EQ(all[1].labels, std::vector<std::int32_t>{0});
}

TEST(Batches, PadToTheLongestOfEach) {
  const auto all = make_batches(three(), {.sequences = 2, .fill = Fill::longest, .pad_id = 9});
  EXPECT_EQ(all[0].ids, (std::vector<std::int32_t>{1, 2, 3, 4, 9, 9}));
  EXPECT_EQ(all[0].positions, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(all[0].row_begin, (std::vector<std::int32_t>{0, 3, 6}));
  EXPECT_EQ(all[0].key_mask, (std::vector<std::uint8_t>{1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(all[0].lengths, (std::vector<std::int32_t>{3, 1}));
  EXPECT_TRUE(all[1].key_mask.empty()) << "a batch that needs no padding has no mask";
}

TEST(Batches, PadToAFixedLengthAndCutNothing) {
  const auto all = make_batches(three(), {.sequences = 3, .fill = Fill::fixed, .length = 4});
  EXPECT_EQ(all[0].ids, (std::vector<std::int32_t>{1, 2, 3, 0, 4, 0, 0, 0, 5, 6, 0, 0}));
  EXPECT_EQ(all[0].row_begin, (std::vector<std::int32_t>{0, 4, 8, 12}));
  try {
    make_batches(three(), {.fill = Fill::fixed, .length = 2});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "sequence 0 has 3 tokens, more than the length of 2 that is asked for");
  }
}

TEST(Batches, OfWindowsCarryTheirTargets) {
  TokenStream stream;
  for (int i = 0; i < 10; ++i) stream.ids.push_back(i);
  const auto all = make_batches(stream, windows(10, {.window = 4, .stride = 2}), {.sequences = 3});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].ids, (std::vector<std::int32_t>{0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7}));
  EXPECT_EQ(all[0].targets, (std::vector<std::int32_t>{3, 2, 2}));
  EXPECT_EQ(all[1].first, 3);
  EXPECT_EQ(all[1].ids, (std::vector<std::int32_t>{6, 7, 8, 9}));
  EXPECT_EQ(all[1].targets, std::vector<std::int32_t>{2});
  EXPECT_TRUE(all[1].labels.empty());
}

}  // namespace
}  // namespace eaq
