// What this process used.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace eaq {

/// Largest resident set so far (VmHWM), in bytes; empty where the system does not tell.
std::optional<std::int64_t> peak_memory_bytes();
/// Starts the peak anew from the present resident set; false where the system does not allow it.
bool reset_peak_memory();

/// Shared libraries mapped into this process, with the release that the file's name tells: "libdnnl" "2.6". Empty where all is
/// linked in.
std::map<std::string, std::string> loaded_libraries();

}  // namespace eaq
