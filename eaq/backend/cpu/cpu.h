// The CPU: each op on the primitives of kernel/ and the products that formats bring. Rows run unpadded, one sequence after the
// other.
#pragma once

#include "eaq/backend/backend.h"

namespace eaq::backend_cpu {

const Backend& entry();

/// fusions/: passes that rewrite a Program's steps, for any configuration of any model.
void fuse_activation(Program&);  ///< linear, then activation -> one step: the product's epilogue applies it
void fuse_residual(Program&);    ///< linear, then residual -> one step: the epilogue adds it
void select_early(Program&);     ///< a row that only a later select throws away is not computed

}  // namespace eaq::backend_cpu
