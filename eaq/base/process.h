// What this process used.
#pragma once

#include <cstdint>
#include <optional>

namespace eaq {

/// Largest resident set so far (VmHWM), in bytes; empty where the system does not tell.
std::optional<std::int64_t> peak_memory_bytes();
/// Starts the peak anew from the present resident set; false where the system does not allow it.
bool reset_peak_memory();

}  // namespace eaq
