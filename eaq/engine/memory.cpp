#include "eaq/engine/memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "eaq/base/base.h"

namespace eaq {
namespace {

// "KEY  NUMBER" of a file of such lines.
std::optional<std::int64_t> entry(const std::filesystem::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key) && line.size() > key.size() && (line[key.size()] == ' ' || line[key.size()] == ':'))
      return std::strtoll(line.c_str() + key.size() + 1, nullptr, 10);
  return std::nullopt;
}

// A file of one number; "max" is none.
std::optional<std::int64_t> number_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::int64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

struct GroupFiles {
  const char *limit, *used, *reclaimable;
};

// The least that a control group or one of those above it leaves.
std::optional<std::int64_t> left_in_groups(const std::filesystem::path& mount, std::filesystem::path group,
                                           const GroupFiles& files) {
  std::optional<std::int64_t> least;
  for (;;) {
    const std::filesystem::path folder = mount / group.relative_path();
    const auto limit = number_in(folder / files.limit), used = number_in(folder / files.used);
    if (limit && used) {
      const std::int64_t reclaimable = entry(folder / "memory.stat", files.reclaimable).value_or(0);
      const std::int64_t left = std::max<std::int64_t>(*limit - *used + reclaimable, 0);
      least = std::min(least.value_or(left), left);
    }
    if (group.relative_path().empty()) return least;
    group = group.parent_path();
  }
}

}  // namespace

std::optional<std::int64_t> available_memory_bytes(const std::filesystem::path& root) {
  std::optional<std::int64_t> least = entry(root / "proc/meminfo", "MemAvailable");
  if (least) *least *= 1024;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    std::optional<std::int64_t> left;
    if (controllers.empty())
      left = left_in_groups(root / "sys/fs/cgroup", group, {"memory.max", "memory.current", "inactive_file"});
    else if (controllers == "memory")
      left = left_in_groups(root / "sys/fs/cgroup/memory", group,
                            {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"});
    if (left) least = std::min(least.value_or(*left), *left);
  }
  return least;
}

void require_memory(double bytes, const std::string& what, const std::string& help) {
  constexpr double gib = 1024.0 * 1024 * 1024;
  // What is this small fits, or the system's own refusal comes.
  if (bytes < gib / 16) return;
  const auto available = available_memory_bytes();
  if (!available || bytes <= static_cast<double>(*available)) return;
  char numbers[128];
  std::snprintf(numbers, sizeof numbers, " needs %.1f GiB of memory, and %.1f GiB are available here; ", bytes / gib,
                static_cast<double>(*available) / gib);
  throw Error(ErrorKind::unavailable, what + numbers + help);
}

}  // namespace eaq
