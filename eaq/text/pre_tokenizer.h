// Pre-tokenizers: how a tokenizer.json splits normalized text into words.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eaq/text/json_fwd.h"
#include "eaq/text/pattern.h"

namespace eaq::text {

struct Pieces {
  std::string text;
  std::vector<Span> spans;  ///< not empty, in order
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

struct ByteLevelOptions {
  bool add_prefix_space = true, use_regex = true;
};

/// The steps of a `pre_tokenizer` section, a Sequence flattened.
struct PreTokenizerPlan {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  bool is_bert = false;                                     ///< BertPreTokenizer and nothing else
  std::optional<ByteLevelOptions> only_byte_level;          ///< ByteLevel and nothing else
  std::unique_ptr<PreTokenizer> last_step_without_mapping;  ///< for models that take bytes, where the last step is ByteLevel
};

/// Error{input} for a section that is not supported.
PreTokenizerPlan make_pre_tokenizer(const Json& section, const std::string& file);

}  // namespace eaq::text
