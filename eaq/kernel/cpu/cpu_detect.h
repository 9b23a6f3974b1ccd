// Private to kernel: which cores and instructions there are. What can be tested away from the machine that it describes stands
// alone.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/kernel/kernel.h"

namespace eaq::cpu {

/// Cores that the calling thread may run on, by number; empty where the kernel does not say.
std::vector<int> affinity();
/// Keeps the calling thread to one of them.
void bind_to_core(int core);

/// Processors that a cgroup's bandwidth limit leaves, rounded down, at least 1; empty without a limit. `mount` is
/// /sys/fs/cgroup, `groups` the text of /proc/self/cgroup. A group's ancestors limit it too.
std::optional<int> quota_cores(const std::filesystem::path& mount, std::string_view groups);

/// Level of a processor with these flags; empty without AVX2 and what belongs to it.
std::optional<Isa> level_of(const std::vector<std::string>& flags);

/// EAQ_CPU_ISA as a level; `machine` where it is null or empty. Errors as cpu_isa().
Isa chosen_level(const char* variable, Isa machine);

}  // namespace eaq::cpu
