// base: what every floor stands on. Errors, units, clocks, files, progress. (JSON has a door of its own, eaq/base/json.h, for
// .cpp files.)
#pragma once

#include "eaq/base/clock.h"
#include "eaq/base/command.h"
#include "eaq/base/error.h"
#include "eaq/base/file.h"
#include "eaq/base/interrupt.h"
#include "eaq/base/places.h"
#include "eaq/base/process.h"
#include "eaq/base/progress.h"
#include "eaq/base/registry.h"
#include "eaq/base/units.h"
#include "eaq/base/version.h"
#include "eaq/base/virtual_clock.h"
#include "eaq/base/zstd.h"
