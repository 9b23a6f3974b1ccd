#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "eaq/study/study.h"

namespace eaq {
namespace {

std::string os_name() {
  std::ifstream file("/etc/os-release");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    std::string name = line.substr(12);
    if (name.size() >= 2 && name.front() == '"') name = name.substr(1, name.size() - 2);
    return printable(name);
  }
  return "Linux";
}

}  // namespace

ZoneRole zone_of(const DeviceDescription& device) { return device.kind == "cuda" ? ZoneRole::gpu : ZoneRole::cpu; }

HostRecord describe_host() {
  HostRecord host;
  host.os = os_name();
  utsname system{};
  if (::uname(&system) == 0) {
    host.name = printable(system.nodename);
    host.kernel = printable(std::string(system.sysname) + " " + system.release);
  }
  const CpuInfo& cpu = cpu_info();
  host.cpu = printable(cpu.model);
  host.flags = cpu.flags;
  host.cores = cpu.logical_cores;
  host.memory_bytes = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  for (const auto& [name, release] : loaded_libraries()) host.libraries[printable(name)] = printable(release);
#ifdef __clang__
  host.compiler = "clang " __clang_version__;
#else
  host.compiler = "g++ " __VERSION__;
#endif
  return host;
}

}  // namespace eaq
