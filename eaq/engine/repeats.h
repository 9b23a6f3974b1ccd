// Programs in which steps run more than once.
#pragma once

#include "eaq/engine/engine.h"

namespace eaq {

/// Not yet bound. Error{bug} where the repeats do not fit the program.
Program repeated(const Program& program, const Repeats& repeats);

}  // namespace eaq
