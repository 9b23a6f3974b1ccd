// The JSON type by name alone, so that this floor's private headers can pass sections on without showing nlohmann-json.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace eaq {
using Json = nlohmann::ordered_json;  // as in eaq/base/json.h
}
