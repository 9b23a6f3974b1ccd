// report: what people read, from results alone. Every number carries its unit, its interval, and how it was obtained.
#pragma once

#include <string>
#include <vector>

#include "eaq/result/result.h"

namespace eaq {

/// The study as text for a terminal, within 100 columns: a table for each model and shape, what the signs in it mean, what was
/// refused, and where there is no meter the line that says why and what would bring joules.
std::string screen_report(const Study& study);

/// The same as Markdown, with how it was obtained: study.md.
std::string markdown_report(const Study& study);

/// One line per run, numbers in full: study.csv. Empty cells are what is not available.
std::string csv_table(const Study& study);

/// One run in a few lines, as `eaq evaluate` prints it.
std::string screen_run(const Run& run);

/// What a sensor showed over time, and the load beneath it.
struct Curve {
  struct Point {
    double time, value;  ///< the value holds until the next point
  };
  struct Switch {
    double time;
    bool on;
  };
  std::vector<Point> values;  ///< in order of time
  std::vector<Switch> load;   ///< likewise; off before the first
  double from = 0, to = 1;    ///< the part that is drawn, in seconds
  std::string unit = "W";
};
/// In Unicode blocks, 76 columns wide at most: the curve (means over each column), under it the share of each column in which the
/// load was on, and the seconds. Empty where no value lies in the part.
std::string draw(const Curve& curve);

}  // namespace eaq
