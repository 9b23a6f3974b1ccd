// Whether what a batch needs is there, asked before it is taken: a system that runs out of memory kills without a word.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace eaq {

/// What this process may still take, in bytes: the system's MemAvailable, or less where a control group (version 2, or 1) allows
/// less. File pages that a group could drop count as free. Empty where neither is told. `root` is "/" but for tests.
std::optional<std::int64_t> available_memory_bytes(const std::filesystem::path& root = "/");

/// Error{unavailable} "WHAT needs 12.0 GiB of memory, and 3.1 GiB are available here; HELP" where that is so.
void require_memory(double bytes, const std::string& what, const std::string& help);

}  // namespace eaq
