#include "eaq/base/process.h"

#include <fstream>
#include <string>

namespace eaq {

std::optional<std::int64_t> peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::int64_t kibibytes = 0; word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  return std::nullopt;
}

bool reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  return static_cast<bool>(file << "5" << std::flush);
}

std::map<std::string, std::string> loaded_libraries() {
  std::map<std::string, std::string> libraries;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.rfind('/');
    const auto so = slash == std::string::npos ? slash : line.find(".so", slash);
    if (so == std::string::npos) continue;
    const std::string release = line.substr(so + 3);
    libraries[line.substr(slash + 1, so - slash - 1)] = release.starts_with('.') ? release.substr(1) : release;
  }
  return libraries;
}

}  // namespace eaq
