// What the processor can do, from CPUID and XGETBV, and what this process may use of it.
#include <cpuid.h>
#include <dnnl.h>
#include <hwy/targets.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/cpu_detect.h"

namespace eaq {
namespace cpu {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};
Registers cpuid(unsigned leaf, unsigned sub_leaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, sub_leaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

std::string brand() {
  if (cpuid(0x80000000).eax < 0x80000004) return "unknown x86-64";
  std::array<char, 49> text{};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(text.data() + 16 * i, &r, 16);
  }
  std::istringstream words(text.data());
  std::string name;
  for (std::string word; words >> word;) name += (name.empty() ? "" : " ") + word;
  return name.empty() ? "unknown x86-64" : name;
}

// XCR0: which register files the operating system saves. Without that an instruction traps although CPUID names it.
std::uint64_t saved_state() {
  if ((cpuid(1).ecx >> 27 & 1) == 0) return 0;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

// Linux hands out the tile registers on request only (ARCH_REQ_XCOMP_PERM for component 18).
bool tiles_granted() {
  constexpr int request_permission = 0x1023, tile_data = 18;
  return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

std::vector<std::string> detect_flags() {
  const std::uint64_t saved = saved_state();
  const bool ymm = (saved & 0x6) == 0x6, zmm = ymm && (saved & 0xE0) == 0xE0;
  const bool tiles = (saved & 0x60000) == 0x60000 && (cpuid(7).edx >> 24 & 1) != 0 && tiles_granted();
  const Registers one = cpuid(1), seven = cpuid(7);
  const Registers seven_one = seven.eax >= 1 ? cpuid(7, 1) : Registers{};
  struct Row {
    const char* name;
    unsigned word;
    int bit;
    bool usable;
  };
  const Row rows[] = {
      {"fma", one.ecx, 12, ymm},           {"f16c", one.ecx, 29, ymm},          {"avx2", seven.ebx, 5, ymm},
      {"bmi2", seven.ebx, 8, true},        {"avx_vnni", seven_one.eax, 4, ymm}, {"avx512f", seven.ebx, 16, zmm},
      {"avx512dq", seven.ebx, 17, zmm},    {"avx512cd", seven.ebx, 28, zmm},    {"avx512bw", seven.ebx, 30, zmm},
      {"avx512vl", seven.ebx, 31, zmm},    {"avx512vbmi", seven.ecx, 1, zmm},   {"avx512_vbmi2", seven.ecx, 6, zmm},
      {"avx512_vnni", seven.ecx, 11, zmm}, {"avx512_fp16", seven.edx, 23, zmm}, {"avx512_bf16", seven_one.eax, 5, zmm},
      {"amx_bf16", seven.edx, 22, tiles},  {"amx_tile", seven.edx, 24, tiles},  {"amx_int8", seven.edx, 25, tiles}};
  std::vector<std::string> flags;
  for (const Row& row : rows)
    if (row.usable && (row.word >> row.bit & 1)) flags.emplace_back(row.name);
  return flags;
}

// Flags that a level adds to those of the level below.
const std::array<std::vector<std::string>, 4>& level_flags() {
  static const std::array<std::vector<std::string>, 4> flags{{{"avx2", "fma", "f16c", "bmi2"},
                                                              {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"},
                                                              {"avx512_vnni", "avx512_bf16"},
                                                              {"amx_tile", "amx_int8", "amx_bf16"}}};
  return flags;
}

bool contains(const std::vector<std::string>& flags, std::string_view flag) {
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

// Version 2 writes "quota period" or "max period" into cpu.max; version 1 has a file for each, and -1 for no limit.
std::optional<double> limit_in(const std::filesystem::path& folder) {
  double quota = 0, period = 0;
  if (std::ifstream max(folder / "cpu.max"); max >> quota >> period && period > 0) return quota / period;
  std::ifstream v1_quota(folder / "cpu.cfs_quota_us"), v1_period(folder / "cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

}  // namespace

std::vector<int> affinity() {
  std::vector<int> cores;
  // The kernel refuses a set smaller than its own.
  for (int size = 1024; size <= 1 << 20 && cores.empty(); size *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(size));
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(size));
    if (::sched_getaffinity(0, bytes, set) == 0)
      for (int core = 0; core < size; ++core)
        if (CPU_ISSET_S(static_cast<std::size_t>(core), bytes, set)) cores.push_back(core);
    CPU_FREE(set);
  }
  return cores;
}

void bind_to_core(int core) {
  const auto size = static_cast<std::size_t>(core) + 1;
  cpu_set_t* set = CPU_ALLOC(size);
  const std::size_t bytes = CPU_ALLOC_SIZE(size);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(static_cast<std::size_t>(core), bytes, set);
  ::sched_setaffinity(0, bytes, set);  // a core that was taken from the process meanwhile leaves the thread as it was
  CPU_FREE(set);
}

std::optional<int> quota_cores(const std::filesystem::path& mount, std::string_view groups) {
  std::optional<double> least;
  const auto walk = [&](const std::filesystem::path& root, std::filesystem::path group) {
    for (;;) {
      if (const auto limit = limit_in(root / group.relative_path())) least = std::min(least.value_or(*limit), *limit);
      if (!group.has_relative_path()) return;
      group = group.parent_path();
    }
  };
  // Lines are "id:controllers:path"; version 2 has the id 0 and no controllers.
  std::istringstream lines{std::string(groups)};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::filesystem::path group = line.substr(second + 1);
    if (controllers == ",,") walk(mount, group);
    if (controllers.find(",cpu,") == std::string::npos) continue;
    walk(mount / "cpu", group);
    walk(mount / "cpu,cpuacct", group);
  }
  if (!least) return std::nullopt;
  return std::max(1, static_cast<int>(std::min(*least, 1e6)));
}

std::optional<Isa> level_of(const std::vector<std::string>& flags) {
  std::optional<Isa> level;
  for (std::size_t i = 0; i < level_flags().size(); ++i) {
    for (const std::string& flag : level_flags()[i])
      if (!contains(flags, flag)) return level;
    level = static_cast<Isa>(i);
  }
  return level;
}

Isa chosen_level(const char* variable, Isa machine) {
  if (variable == nullptr || *variable == '\0') return machine;
  for (int i = 0; i <= static_cast<int>(Isa::amx); ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (name_of(isa) != variable) continue;
    if (isa <= machine) return isa;
    throw Error(ErrorKind::unavailable, "EAQ_CPU_ISA=" + printable(variable) + ": this processor (" + cpu_info().model +
                                            ") goes up to " + std::string(name_of(machine)));
  }
  throw Error(ErrorKind::usage, "EAQ_CPU_ISA=" + printable(variable) + " is not one of avx2, avx512, avx512_vnni_bf16, amx");
}

namespace {

bool level_is_given() {
  const char* variable = std::getenv("EAQ_CPU_ISA");
  return variable != nullptr && *variable != '\0';
}

// Both choose their kernels by themselves. oneDNN takes a bound once, before its first use.
void bound_libraries(Isa isa) {
  if (isa == Isa::avx2) hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  constexpr std::array<dnnl_cpu_isa_t, 4> bounds{dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx512_core, dnnl_cpu_isa_avx512_core_bf16,
                                                 dnnl_cpu_isa_avx512_core_amx};
  if (dnnl_set_max_cpu_isa(bounds[static_cast<std::size_t>(isa)]) != dnnl_success)
    throw Error(ErrorKind::bug, "EAQ_CPU_ISA: oneDNN was in use before the level was read");
}

}  // namespace
}  // namespace cpu

std::string_view name_of(Isa isa) {
  constexpr std::array<std::string_view, 4> names{"avx2", "avx512", "avx512_vnni_bf16", "amx"};
  return names[static_cast<std::size_t>(isa)];
}

bool CpuInfo::has(std::string_view flag) const { return cpu::contains(flags, flag); }

const CpuInfo& cpu_info() {
  static const CpuInfo info = [] {
    CpuInfo i;
    i.model = cpu::brand();
    i.flags = cpu::detect_flags();
    const auto level = cpu::level_of(i.flags);
    if (!level)
      throw Error(ErrorKind::unavailable, "this processor (" + i.model + ") lacks AVX2, FMA, F16C or BMI2, which eaq needs");
    i.isa = *level;
    std::ostringstream groups;
    groups << std::ifstream("/proc/self/cgroup").rdbuf();
    const auto cores = static_cast<int>(cpu::affinity().size());
    i.logical_cores = cores > 0 ? cores : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    if (const auto quota = cpu::quota_cores("/sys/fs/cgroup", groups.str())) i.logical_cores = std::min(i.logical_cores, *quota);
    return i;
  }();
  return info;
}

Isa cpu_isa() {
  static const Isa isa = [] {
    const Isa chosen = cpu::chosen_level(std::getenv("EAQ_CPU_ISA"), cpu_info().isa);
    if (cpu::level_is_given()) cpu::bound_libraries(chosen);
    return chosen;
  }();
  return isa;
}

}  // namespace eaq
