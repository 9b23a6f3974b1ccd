// Models of random weights: true shapes and trained scales, for energy and speed where no checkpoint is at hand.
#pragma once

#include <string>
#include <string_view>

#include "eaq/engine/engine.h"

namespace eaq {

bool is_synthetic(std::string_view where);  ///< "synthetic:..."

/// Error{input} for a family or a size that is not known, and for sizes that the family refuses.
Model synthetic_model(const std::string& where);

}  // namespace eaq
