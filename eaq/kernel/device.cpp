#include <algorithm>
#include <charconv>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {

DeviceName parse_device_name(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  DeviceName device{std::string(text.substr(0, colon)), 0};
  if (colon == text.size()) return device;
  const char *first = text.data() + colon + 1, *last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, device.number);
  if (error != std::errc() || end != last || first == last || device.number < 0)
    throw Error(ErrorKind::usage, "--device " + printable(text) + ": after the colon stands the device's number");
  return device;
}

std::unique_ptr<Load> open_load(const std::string& device, const LoadOptions& options) {
  const auto [kind, number] = parse_device_name(device);
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
