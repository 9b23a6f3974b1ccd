// The CPU: each op on the primitives of kernel/ and the products that formats bring. Rows run unpadded, one sequence after the
// other.
#pragma once

#include "eaq/backend/backend.h"

namespace eaq::backend_cpu {

const Backend& entry();

}  // namespace eaq::backend_cpu
