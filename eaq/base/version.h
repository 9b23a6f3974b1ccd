// What this program calls itself, in results and caches.
#pragma once

#include <string_view>

namespace eaq {

/// "0.1.0".
std::string_view version();

}  // namespace eaq
