#include "eaq/engine/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "eaq/base/base.h"

namespace eaq {
namespace {

class FakeSystem {
 public:
  FakeSystem() { write("proc/meminfo", "MemTotal:       16000 kB\nMemAvailable:   8000 kB\n"); }
  ~FakeSystem() { std::filesystem::remove_all(root); }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root / name).parent_path());
    std::ofstream(root / name) << text;
  }
  std::filesystem::path root = std::filesystem::temp_directory_path() / ("eaq-memory-" + std::to_string(::getpid()));
};

TEST(AvailableMemory, IsTheSystemsWhereNoGroupAllowsLess) {
  FakeSystem system;
  EXPECT_EQ(available_memory_bytes(system.root), 8000 * 1024);
  system.write("proc/self/cgroup", "0::/a/b\n");
  system.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  system.write("sys/fs/cgroup/a/b/memory.current", "1000\n");
  EXPECT_EQ(available_memory_bytes(system.root), 8000 * 1024);
}

TEST(AvailableMemory, IsTheLeastThatAGroupOrOneAboveItLeaves) {
  FakeSystem system;
  system.write("proc/self/cgroup", "0::/a/b\n");
  system.write("sys/fs/cgroup/a/b/memory.max", "5000000\n");
  system.write("sys/fs/cgroup/a/b/memory.current", "1000000\n");
  EXPECT_EQ(available_memory_bytes(system.root), 4000000);
  system.write("sys/fs/cgroup/a/memory.max", "3000000\n");
  system.write("sys/fs/cgroup/a/memory.current", "2000000\n");
  system.write("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 500\n");
  EXPECT_EQ(available_memory_bytes(system.root), 1000500);
}

TEST(AvailableMemory, KnowsTheFirstVersionOfGroups) {
  FakeSystem system;
  system.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n");
  system.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9000000\n");
  system.write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "8000000\n");
  EXPECT_EQ(available_memory_bytes(system.root), 1000000);
}

TEST(AvailableMemory, IsUnknownWhereNothingTells) { EXPECT_EQ(available_memory_bytes("/nowhere"), std::nullopt); }

TEST(RequireMemory, RefusesWithBothNumbers) {
  EXPECT_NO_THROW(require_memory(1 << 20, "little", ""));
  if (!available_memory_bytes()) GTEST_SKIP() << "the system does not tell";
  try {
    require_memory(0x1p60, "a batch", "take a smaller one");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unavailable);
    EXPECT_NE(std::string(error.what()).find("a batch needs 1073741824.0 GiB of memory, and "), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace eaq
