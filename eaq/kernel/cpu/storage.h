// From an element type known at run time to one known at compile time.
#pragma once

#include <string>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {

/// Calls `body(pointer)` with a null pointer of the storage type: float, bf16 or f16.
template <class Body>
void with_storage(DType dtype, Body body) {
  switch (dtype) {
    case DType::f32:
      return body(static_cast<float*>(nullptr));
    case DType::bf16:
      return body(static_cast<bf16*>(nullptr));
    case DType::f16:
      return body(static_cast<f16*>(nullptr));
    default:
      throw Error(ErrorKind::bug, "activations are f32, bf16 or f16, not " + std::string(name_of(dtype)));
  }
}

}  // namespace eaq
