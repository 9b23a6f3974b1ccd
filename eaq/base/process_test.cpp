#include "eaq/base/process.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace eaq {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;

// A map of its own: it goes back at once, which freed memory does not where a sanitizer keeps it in quarantine.
void touch(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, size);
  ::munmap(memory, size);
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

TEST(LoadedLibraries, NamesTheCLibraryAndItsRelease) {
  const auto libraries = loaded_libraries();
  const auto found = libraries.find("libc");
  ASSERT_NE(found, libraries.end());
  EXPECT_EQ(found->second, "6");
}

}  // namespace
}  // namespace eaq
