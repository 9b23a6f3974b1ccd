#include "eaq/base/process.h"

#include <gtest/gtest.h>

#include <vector>

namespace eaq {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;

// Freed at the end: an allocation of this size is a map of its own, which goes back at once.
void touch(std::int64_t bytes) {
  std::vector<char> memory(static_cast<std::size_t>(bytes), 1);
  volatile char sink = memory.front();
  static_cast<void>(sink);
}

TEST(PeakMemory, RisesWithWhatIsTouched) {
  const std::int64_t before = peak_memory_bytes().value();
  EXPECT_GT(before, 0);
  touch(before + 64 * mebibyte);
  EXPECT_GE(peak_memory_bytes().value(), before + 48 * mebibyte);
}

TEST(PeakMemory, CanBeginAnew) {
  touch(64 * mebibyte);
  const std::int64_t before = peak_memory_bytes().value();
  if (!reset_peak_memory()) GTEST_SKIP() << "/proc/self/clear_refs cannot be written here";
  EXPECT_LE(peak_memory_bytes().value(), before - 32 * mebibyte);
}

}  // namespace
}  // namespace eaq
