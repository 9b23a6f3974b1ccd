// The instruction sets that Highway compiles kernels for. Beside them Highway always keeps a plain fallback; it never runs, as
// cpu_info() refuses processors without AVX2. To be included before hwy/highway.h in every file with foreach_target.
#pragma once

#include <hwy/detect_targets.h>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_AVX3 | HWY_EMU128 | HWY_SCALAR))
