// Which device, and what it does where nobody says otherwise.
#include <algorithm>

#include "eaq/engine/engine.h"

namespace eaq {

Device open_device(std::string_view name, const ContextOptions& options) {
  const DeviceName device = parse_device_name(name);
  const Backend& backend = backend_named(device.kind);
  ContextOptions chosen = options;
  chosen.number = device.number;
  Device opened{&backend, backend.make_context(chosen)};
  if (device.number > 0 && opened.context->is_host())
    throw Error(ErrorKind::usage, "--device " + printable(name) + ": there is one '" + device.kind + "' and it has no number");
  return opened;
}

std::string default_base(const Device& device) {
  // Where weights lie in the host's memory, fp32 costs nothing that the rest of a model would notice.
  if (device.context->is_host()) return "fp32";
  for (const char* name : {"bf16", "fp16"}) {
    const Format* format = find_entry(formats(), name);
    if (format != nullptr && device.backend->support(*format, *device.context).level == SupportLevel::native) return name;
  }
  return "fp32";
}

std::vector<std::string> default_formats(const Device& device) {
  std::vector<const Format*> all;
  for (const auto& row : formats()) {
    if (row.entry == nullptr) continue;
    // A format that has nothing for this kind of device is not worth a line; one that this very device lacks is.
    const bool refused = device.backend->support(*row.entry, *device.context).level == SupportLevel::refused;
    if (!refused || row.entry->on(device.backend->device()) != nullptr) all.push_back(row.entry);
  }
  std::stable_sort(all.begin(), all.end(), [](const Format* a, const Format* b) {
    const FormatTraits &x = a->traits(), &y = b->traits();
    if ((x.name == "fp32") != (y.name == "fp32")) return x.name == "fp32";
    return x.bits_per_weight > y.bits_per_weight;
  });
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const Format* format : all) names.emplace_back(format->traits().name);
  return names;
}

}  // namespace eaq
