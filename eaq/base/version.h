// What this program calls itself, in results and caches.
#pragma once

#include <string_view>

namespace eaq {

/// "0.1.0".
std::string_view version();

/// The commit it was built from, "2f1c0d9ab3e4" or "2f1c0d9ab3e4-dirty"; "unknown" where the sources came without git.
std::string_view commit();

}  // namespace eaq
