// Decoders: how a tokenizer.json joins tokens to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eaq/text/json_fwd.h"

namespace eaq::text {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// Null for a null section: tokens are then joined by spaces. Error{input} for one that is not supported.
std::unique_ptr<Decoder> make_decoder(const Json& section, const std::string& file);

}  // namespace eaq::text
