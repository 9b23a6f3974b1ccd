// Monotonic time. Durations are never taken from the wall clock; tests inject a clock of their own.
#pragma once

#include <string>

#include "eaq/base/units.h"

namespace eaq {

/// Where durations come from. Injected wherever time matters, so that tests need not wait.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Seconds now() = 0;                ///< monotonic; the origin is arbitrary
  virtual void sleep_until(Seconds t) = 0;  ///< returns at once if `t` has passed
};

/// The machine's monotonic clock (CLOCK_MONOTONIC).
Clock& monotonic_clock();

/// Wall-clock time for manifests only, as ISO 8601 in UTC: "2026-11-24T10:00:00Z".
std::string timestamp_utc();

/// Today's date as "2026-11-24", for default folder names.
std::string date_local();

}  // namespace eaq
