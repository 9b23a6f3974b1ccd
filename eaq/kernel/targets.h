// The instruction sets that Highway compiles kernels for. SSE2 is x86-64's baseline, which Highway always keeps; it never runs, as
// cpu_info() refuses processors without AVX2. To be included before hwy/highway.h in every file with foreach_target.
#pragma once

#include <hwy/detect_targets.h>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (~(HWY_SSE2 | HWY_AVX2 | HWY_AVX3))
