#include "eaq/meter/sysfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <utility>

namespace eaq {
namespace {

Fault fault_of(int error) {
  if (error == EACCES || error == EPERM) return Fault::denied;
  if (error == ENOENT || error == ENODEV || error == ENXIO) return Fault::unplugged;
  return Fault::unsupported;
}

// "intel-rapl:10" after "intel-rapl:2": shorter names first where only digits differ.
bool natural_less(const std::filesystem::path& a, const std::filesystem::path& b) {
  const std::string x = a.filename().string(), y = b.filename().string();
  const auto head = [](const std::string& s) { return s.substr(0, s.find_first_of("0123456789")); };
  if (head(x) == head(y) && x.size() != y.size() && x.find(':', head(x).size()) == y.find(':', head(y).size()))
    return x.size() < y.size();
  return x < y;
}

}  // namespace

SysfsNumber::SysfsNumber(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) open_error_ = errno;
}

SysfsNumber::~SysfsNumber() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

SysfsNumber::SysfsNumber(SysfsNumber&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      open_error_(other.open_error_),
      fault_(other.fault_),
      reason_(std::move(other.reason_)) {}

std::nullopt_t SysfsNumber::failed(int error) {
  fault_ = fault_of(error);
  reason_ = path_.string() + ": " + std::strerror(error);
  return std::nullopt;
}

std::optional<double> SysfsNumber::read() {
  if (descriptor_ < 0) return failed(open_error_);
  char text[64];
  const ssize_t size = ::pread(descriptor_, text, sizeof text, 0);
  if (size < 0) return failed(errno);
  double value = 0;
  const auto [end, error] = std::from_chars(text, text + size, value);
  if (error != std::errc() || (end != text + size && *end != '\n')) {
    fault_ = Fault::unsupported;
    reason_ = path_.string() + ": '" + printable({text, static_cast<std::size_t>(size)}) + "' is not a number";
    return std::nullopt;
  }
  fault_ = Fault::none;
  return value;
}

std::vector<std::filesystem::path> sysfs_entries(const std::filesystem::path& folder, std::string_view prefix) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().starts_with(prefix)) found.push_back(it->path());
  std::sort(found.begin(), found.end(), natural_less);
  return found;
}

std::optional<std::string> sysfs_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::string chmod_advice(const std::vector<std::filesystem::path>& files) {
  std::string command = "sudo chmod a+r";
  for (const auto& file : files) command += ' ' + file.string();
  return command;
}

}  // namespace eaq
