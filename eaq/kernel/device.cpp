#include <algorithm>
#include <charconv>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {

std::unique_ptr<Load> open_load(const std::string& device, const LoadOptions& options) {
  const std::size_t colon = device.find(':');
  const std::string kind = device.substr(0, colon);
  int number = 0;
  if (colon != std::string::npos) {
    const char *first = device.data() + colon + 1, *last = device.data() + device.size();
    const auto [end, error] = std::from_chars(first, last, number);
    if (error != std::errc() || end != last || first == last || number < 0)
      throw Error(ErrorKind::usage, "--device " + printable(device) + ": after the colon stands the device's number");
  }
  for (const auto& row : compute_devices()) {
    if (row.name != kind) continue;
    if (row.entry == nullptr)
      throw Error(ErrorKind::unavailable, "--device " + kind + " is not available: " + std::string(row.left_out));
    return row.entry->open_load(number, options);
  }
  throw Error(ErrorKind::usage,
              "--device: there is no device '" + printable(device) + "'; there are: " + names_of(compute_devices()));
}

}  // namespace eaq
