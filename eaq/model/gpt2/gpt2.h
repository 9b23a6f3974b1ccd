// GPT-2 (Radford et al., 2019) with its language-model head, as Hugging Face's GPT2LMHeadModel computes it: pre-norm blocks,
// learned positions, Conv1D weights stored [in, out], head tied to the embedding or not. `attn.bias` and `attn.masked_bias` in
// old checkpoints are mask buffers, not weights.
#pragma once

#include "eaq/model/model.h"

namespace eaq::model_gpt2 {

const ModelFamily& entry();

}  // namespace eaq::model_gpt2
