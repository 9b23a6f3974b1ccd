// The beat of a counter. A counter that the device moves at a fixed beat is seen some milliseconds late, and never equally late:
// a look takes its time, and looks are not at edges. At 700 W, 4 ms are 2.8 J, most of the scatter of a short window's slope. The
// beat itself is known far better than any one edge, from all edges round about: put every edge back on it, and what is left is
// the power's own scatter.
#pragma once

#include <optional>
#include <span>

#include "eaq/base/base.h"

namespace eaq {

/// An edge of a counter: when it was seen, and the new value.
struct Edge {
  double time = 0, joules = 0;  ///< seconds, joules
};

struct Lattice {
  double start = 0, period = 0;  ///< seconds: edges fall on start + k period, on average as late as they are seen
  double scatter = 0;            ///< standard deviation of the times seen about it
  double at(double time) const;  ///< the beat nearest to a time
};

/// The beat of these edges (in order of time), or nothing where there is none to trust: fewer than 32 edges, times that scatter
/// by more than 15 % of the period, or a counter whose values go with the times seen, so that these are its true times.
std::optional<Lattice> find_lattice(std::span<const Edge> edges);

}  // namespace eaq
