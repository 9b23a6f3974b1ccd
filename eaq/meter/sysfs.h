// Numbers in sysfs, for the rooms that read sensors there. Each failure keeps its cause: a read that failed is never 0.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eaq/meter/meter.h"

namespace eaq {

/// A file held open and read again and again.
class SysfsNumber {
 public:
  explicit SysfsNumber(std::filesystem::path path);  ///< opens; a failure shows at read()
  ~SysfsNumber();
  SysfsNumber(SysfsNumber&& other) noexcept;
  SysfsNumber(const SysfsNumber&) = delete;
  SysfsNumber& operator=(const SysfsNumber&) = delete;
  SysfsNumber& operator=(SysfsNumber&&) = delete;

  /// The number now; nothing, and fault() and reason() say why.
  std::optional<double> read();
  Fault fault() const { return fault_; }
  const std::string& reason() const { return reason_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::nullopt_t failed(int error);

  std::filesystem::path path_;
  int descriptor_ = -1;
  int open_error_ = 0;
  Fault fault_ = Fault::none;
  std::string reason_;
};

/// Entries of a folder whose names begin with `prefix`, in natural order (2 before 10). Empty where there is no such folder.
std::vector<std::filesystem::path> sysfs_entries(const std::filesystem::path& folder, std::string_view prefix);

/// A file's text without its line end; nothing where it cannot be read.
std::optional<std::string> sysfs_text(const std::filesystem::path& path);

/// `sudo chmod a+r FILE...`: what lets everybody read these until the next start.
std::string chmod_advice(const std::vector<std::filesystem::path>& files);

}  // namespace eaq
