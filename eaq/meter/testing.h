// Private to meter's tests: folders that go away, sensors' files as Linux shows them, and meters opened from them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "eaq/meter/meter.h"

namespace eaq::testing_meter {

namespace fs = std::filesystem;

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    static int made = 0;
    path_ = fs::temp_directory_path() / ("eaq-meter-" + std::to_string(::getpid()) + "-" + std::to_string(made++));
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  fs::path write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  fs::path path_;
};

inline MeterSet open_one(const std::string& spec, const MeterOptions& options = {}) {
  const std::vector<std::string> specs{spec};
  return open_meters(specs, std::nullopt, options);
}

inline std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

struct RaplTree {
  RaplTree() {
    add("intel-rapl:0", "package-0", 1000000);
    add("intel-rapl:0:0", "core", 400000);
    add("intel-rapl:0:1", "dram", 200000);
    add("intel-rapl:1", "package-1", 5000000);
    add("intel-rapl:1:0", "dram", 300000);
    add("intel-rapl:2", "psys", 9000000);
    add("intel-rapl-mmio:0", "package-0", 1000000);
  }
  void add(const std::string& zone, const std::string& name, long energy) const {
    folder.write("class/powercap/" + zone + "/name", name + "\n");
    folder.write("class/powercap/" + zone + "/max_energy_range_uj", "10000000000\n");
    set(zone, energy);
  }
  void set(const std::string& zone, long energy) const {
    folder.write("class/powercap/" + zone + "/energy_uj", std::to_string(energy) + "\n");
  }
  MeterOptions options() const { return {.sysfs_root = folder.path(), .clock = &clock}; }
  Folder folder;
  mutable VirtualClock clock;
};

// Runs `act` as a user whom file permissions bind.
inline void as_nobody(const std::function<void()>& act) {
  const bool root = ::geteuid() == 0;
  ASSERT_TRUE(!root || ::seteuid(65534) == 0);
  act();
  ASSERT_TRUE(!root || ::seteuid(0) == 0);
}

}  // namespace eaq::testing_meter
