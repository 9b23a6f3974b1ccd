// Passes that rewrite a Program's steps, for any configuration of any model. A backend lists those that its devices gain from;
// one that only one backend can use stands in that backend's folder.
#pragma once

#include "eaq/backend/backend.h"

namespace eaq {

/// linear, then activation -> one step: the product's epilogue applies it.
void fuse_activation(Program& program);
/// linear, then residual -> one step: the epilogue adds it.
void fuse_residual(Program& program);
/// embedding, then norm -> one step.
void fuse_embedding_norm(Program& program);
/// A row that only a later select throws away is not computed.
void select_early(Program& program);

/// norm, then linear -> one step, where nobody else reads what was normed and `together` says that both are worth one.
void fuse_norm_linear(Program& program, bool (*together)(const LinearOp&));
/// What a step needs of its input's rows for the norm that was fused into it, the linear step that makes them keeps by the way.
void fuse_moments(Program& program);
/// linear, then attention over what it made -> one step, where nobody else reads that and `together` says that both are worth
/// one.
void fuse_linear_attention(Program& program, bool (*together)(const Program&, const LinearOp&, const AttentionOp&));
/// Of one row a sequence the first and the last are that row: nothing is left to select.
void drop_select(Program& program);

/// Whoever reads a value reads another from now on.
void replace_reads(Program& program, Value of, Value by);
/// How many steps read a value; the program's output has one reader more.
int readers_of(const Program& program, Value value);

}  // namespace eaq
