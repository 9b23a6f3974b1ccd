// A folder as Hugging Face writes it: model.safetensors with every tensor in its site's storage (F32, BF16 or F16), config.json
// with the storage as its dtype, tokenizer and generation files as they are. Formats of 8 and fewer bits need layouts of their
// own.
#pragma once

#include "eaq/export/export.h"

namespace eaq::export_huggingface {

const Exporter& entry();

}  // namespace eaq::export_huggingface
