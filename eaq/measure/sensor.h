// Private to measure: the pieces of a calibration's analysis that the driver needs on its way.
#pragma once

#include <vector>

#include "eaq/measure/measure.h"

namespace eaq::sensor {

/// Seconds for which the load was on, up to a time.
class OnTime {
 public:
  explicit OnTime(const std::vector<LoadSwitch>& switches);
  double operator()(double t) const;

 private:
  std::vector<double> times_, sums_;  // at each switch
  std::vector<bool> on_;              // from each switch
};

/// A value that was new when it was looked at.
struct Point {
  double t, v;
};
std::vector<Point> changes(const ZoneRecord& zone, bool counter);

/// New values' times as the teeth of a comb.
struct Comb {
  Found<Seconds> period;
  std::vector<double> times;  ///< of each point: freed from the looks' jitter where the sensor is regular, and from their delay
};
/// `look`: mean distance of looks in seconds.
Comb find_comb(const std::vector<Point>& points, double look);

/// A value as the mean of two levels over the span [u - lag - window, u - lag].
struct Observation {
  double u, v;
  double span;  ///< above 0: the window of this one value, known (a counter's difference); 0: to be found
};
struct StepFit {
  Found<Seconds> lag, window;
  double idle = 0, loaded = 0;
  double explained = 0;  ///< share of the variance that the load explains (R squared)
};
/// Least squares of the model above over lag (0 to 0.5 s) and, where spans are to be found, window (0 to 2 s); the levels and
/// their linear drift are solved for inside. Ranges are the profile's: what raises the sum of squares by at most 3.84 variances.
StepFit fit_steps(const std::vector<Observation>& observations, const OnTime& on);

/// What all increments are whole multiples of, or nothing.
Found<double> common_step(const std::vector<Point>& points);

}  // namespace eaq::sensor
