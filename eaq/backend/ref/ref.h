// The reference: plain loops, sums in double, every format by its own definition (Format::round_weight, round_input). Slow, and
// what every other backend is tested against. It stores weights as f32 whatever the format, so all but fp32 is emulated here.
#pragma once

#include "eaq/backend/backend.h"

namespace eaq::backend_ref {

/// Nothing to hold: the reference uses the calling thread and no scratch.
class RefContext : public ExecutionContext {
 public:
  std::string_view device() const override { return "ref"; }
  DeviceDescription description() const override {
    return {.kind = "ref", .name = cpu_info().model, .isa = "", .uuid = "", .driver = "", .threads = 1, .cache_bytes = 0};
  }
};

const Backend& entry();

/// The plain definition of an activation, in double.
double activate(Activation activation, double x);

}  // namespace eaq::backend_ref
