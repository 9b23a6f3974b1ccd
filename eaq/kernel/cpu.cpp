#include <cpuid.h>
#include <hwy/targets.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

bool bit(unsigned word, int n) { return (word >> n) & 1; }

// What the operating system saves on a context switch: vector state that it does not save must not be used.
std::uint64_t saved_state() {
  if (!bit(cpuid(1).c, 27)) return 0;  // OSXSAVE
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

std::vector<std::string> flags_of_this_cpu() {
  const Registers one = cpuid(1), seven = cpuid(7), seven_one = cpuid(7, 1);
  const std::uint64_t state = saved_state();
  const bool ymm = (state & 0x6) == 0x6, zmm = ymm && (state & 0xE0) == 0xE0, tiles = (state & 0x60000) == 0x60000;
  std::vector<std::string> flags;
  const auto add = [&](const char* name, bool there) {
    if (there) flags.emplace_back(name);
  };
  add("avx2", ymm && bit(seven.b, 5));
  add("fma", ymm && bit(one.c, 12));
  add("f16c", ymm && bit(one.c, 29));
  add("avx_vnni", ymm && bit(seven_one.a, 4));
  add("avx512f", zmm && bit(seven.b, 16));
  add("avx512bw", zmm && bit(seven.b, 30));
  add("avx512dq", zmm && bit(seven.b, 17));
  add("avx512vl", zmm && bit(seven.b, 31));
  add("avx512_vnni", zmm && bit(seven.c, 11));
  add("avx512_bf16", zmm && bit(seven_one.a, 5));
  add("avx512_fp16", zmm && bit(seven.d, 23));
  add("amx_tile", tiles && bit(seven.d, 24));
  add("amx_int8", tiles && bit(seven.d, 25));
  add("amx_bf16", tiles && bit(seven.d, 22));
  return flags;
}

std::string brand() {
  std::array<Registers, 3> parts;
  for (unsigned i = 0; i < 3; ++i) parts[i] = cpuid(0x80000002 + i);
  std::string text(reinterpret_cast<const char*>(parts.data()), sizeof parts);
  text.resize(std::strlen(text.c_str()));
  const auto first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
  return first == std::string::npos ? "unknown x86-64" : printable(text.substr(first, last - first + 1));
}

// Cores that this process may run on: its affinity, and the quota of its control group (containers).
int usable_cores() {
  cpu_set_t set;
  int cores = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (file >> quota >> period && quota != "max" && period > 0)
    cores = std::min(cores, std::max(1, static_cast<int>(std::atof(quota.c_str()) / period + 0.5)));
  return cores;
}

Isa highest(const CpuInfo& info) {
  const bool avx512 = info.has("avx512f") && info.has("avx512bw") && info.has("avx512dq") && info.has("avx512vl");
  if (!avx512) return Isa::avx2;
  if (!info.has("avx512_vnni") || !info.has("avx512_bf16")) return Isa::avx512;
  return info.has("amx_int8") && info.has("amx_bf16") ? Isa::amx : Isa::avx512_vnni_bf16;
}

constexpr std::array levels{Isa::avx2, Isa::avx512, Isa::avx512_vnni_bf16, Isa::amx};

Isa chosen() {
  const char* wanted = std::getenv("EAQ_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return cpu_info().isa;
  for (const Isa level : levels) {
    if (name_of(level) != wanted) continue;
    if (level > cpu_info().isa)
      throw Error(ErrorKind::unavailable,
                  "EAQ_CPU_ISA=" + std::string(wanted) + ": this processor reaches " + std::string(name_of(cpu_info().isa)));
    return level;
  }
  throw Error(ErrorKind::usage, "EAQ_CPU_ISA=" + printable(wanted) + ": the levels are avx2, avx512, avx512_vnni_bf16, amx");
}

}  // namespace

std::string_view name_of(Isa isa) {
  constexpr std::string_view names[] = {"avx2", "avx512", "avx512_vnni_bf16", "amx"};
  return names[static_cast<std::size_t>(isa)];
}

bool CpuInfo::has(std::string_view flag) const {
  for (const std::string& f : flags)
    if (f == flag) return true;
  return false;
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = [] {
    CpuInfo i;
    i.model = brand();
    i.flags = flags_of_this_cpu();
    i.logical_cores = usable_cores();
    if (!i.has("avx2") || !i.has("fma") || !i.has("f16c"))
      throw Error(ErrorKind::unavailable, i.model + ": a processor with AVX2, FMA and F16C is needed");
    i.isa = highest(i);
    return i;
  }();
  return info;
}

Isa cpu_isa() {
  static const Isa isa = [] {
    const Isa level = chosen();
    // Highway's own dispatch, which kernels of this floor use, must not go higher.
    if (level == Isa::avx2) hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
    return level;
  }();
  return isa;
}

}  // namespace eaq
