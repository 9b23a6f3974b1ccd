#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/cpu_detect.h"

namespace eaq {
namespace {

const std::vector<std::string> avx2_flags{"avx2", "fma", "f16c", "bmi2"};

std::vector<std::string> with(std::vector<std::string> flags, std::initializer_list<const char*> more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

TEST(CpuInfo, ThisMachineHasWhatItsLevelNeeds) {
  const CpuInfo& info = cpu_info();
  EXPECT_FALSE(info.model.empty());
  EXPECT_TRUE(info.has("avx2") && info.has("fma") && info.has("f16c"));
  EXPECT_EQ(info.isa >= Isa::avx512, info.has("avx512f") && info.has("avx512bw") && info.has("avx512dq") && info.has("avx512vl"));
  EXPECT_GE(info.logical_cores, 1);
  EXPECT_FALSE(info.has("avx1024"));
}

TEST(CpuInfo, FlagsAreAmongThoseThatLinuxNames) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  if (line.rfind("flags", 0) != 0) GTEST_SKIP() << "/proc/cpuinfo shows no flags";
  for (const std::string& flag : cpu_info().flags) EXPECT_NE((line + " ").find(" " + flag + " "), std::string::npos) << flag;
}

TEST(CpuLevel, NeedsAllFlagsOfItsOwnAndOfThoseBelow) {
  EXPECT_EQ(cpu::level_of({}), std::nullopt);
  EXPECT_EQ(cpu::level_of({"avx2", "fma", "bmi2"}), std::nullopt);
  EXPECT_EQ(cpu::level_of(avx2_flags), Isa::avx2);
  EXPECT_EQ(cpu::level_of(with(avx2_flags, {"avx512_vnni", "avx512_bf16"})), Isa::avx2);
  const auto skylake = with(avx2_flags, {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"});
  EXPECT_EQ(cpu::level_of(skylake), Isa::avx512);
  EXPECT_EQ(cpu::level_of(with(skylake, {"avx512_vnni"})), Isa::avx512);
  EXPECT_EQ(cpu::level_of(with(skylake, {"avx512_vnni", "avx512_bf16"})), Isa::avx512_vnni_bf16);
  EXPECT_EQ(cpu::level_of(with(skylake, {"avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"})), Isa::amx);
}

TEST(CpuLevel, IsTheMachinesOrTheOneAskedFor) {
  EXPECT_EQ(cpu::chosen_level(nullptr, Isa::avx512), Isa::avx512);
  EXPECT_EQ(cpu::chosen_level("", Isa::avx512), Isa::avx512);
  EXPECT_EQ(cpu::chosen_level("avx2", Isa::amx), Isa::avx2);
  EXPECT_EQ(cpu::chosen_level("amx", Isa::amx), Isa::amx);
}

ErrorKind kind_of_choice(const char* variable, Isa machine) {
  try {
    cpu::chosen_level(variable, machine);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::bug;
}

TEST(CpuLevel, RefusesUnknownNamesAndLevelsThatTheMachineLacks) {
  EXPECT_EQ(kind_of_choice("sse9", Isa::amx), ErrorKind::usage);
  EXPECT_EQ(kind_of_choice("avx512", Isa::avx2), ErrorKind::unavailable);
}

class Quota : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(mount_); }
  void TearDown() override { std::filesystem::remove_all(mount_); }
  void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories((mount_ / file).parent_path());
    write_text(mount_ / file, text);
  }
  std::filesystem::path mount_ = std::filesystem::temp_directory_path() / ("eaq-quota-" + std::to_string(::getpid()));
};

TEST_F(Quota, IsTheLeastOfAGroupAndItsAncestorsRoundedDown) {
  write("a/b/cpu.max", "max 100000\n");
  write("a/cpu.max", "350000 100000\n");
  write("cpu.max", "800000 100000\n");
  EXPECT_EQ(cpu::quota_cores(mount_, "0::/a/b\n"), 3);
  EXPECT_EQ(cpu::quota_cores(mount_, "0::/\n"), 8);
}
TEST_F(Quota, IsAtLeastOneCore) {
  write("cpu.max", "20000 100000\n");
  EXPECT_EQ(cpu::quota_cores(mount_, "0::/\n"), 1);
}
TEST_F(Quota, IsReadFromTheFilesOfVersionOneToo) {
  write("cpu/job/cpu.cfs_quota_us", "200000\n");
  write("cpu/job/cpu.cfs_period_us", "100000\n");
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu::quota_cores(mount_, "4:memory:/x\n2:cpu,cpuacct:/job\n0::/\n"), 2);
}
TEST_F(Quota, IsAbsentWithoutALimit) {
  write("cpu.max", "max 100000\n");
  EXPECT_EQ(cpu::quota_cores(mount_, "0::/\n"), std::nullopt);
  EXPECT_EQ(cpu::quota_cores(mount_, ""), std::nullopt);
}

}  // namespace
}  // namespace eaq
