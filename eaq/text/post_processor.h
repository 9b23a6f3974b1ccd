// Post-processors: the special tokens that a tokenizer.json puts around a text. Offsets, which most of them also treat, are not
// kept here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/text/json_fwd.h"

namespace eaq::text {

class PostProcessor {
 public:
  PostProcessor() = default;
  /// `id_of` finds the ids of a template's tokens where the section gives none. Error{input} for what is not supported.
  PostProcessor(const Json& section, const std::string& file,
                const std::function<std::optional<std::int32_t>(std::string_view)>& id_of);

  std::size_t tokens_added() const { return before_.size() + behind_.size(); }
  const std::vector<std::int32_t>& before() const { return before_; }
  const std::vector<std::int32_t>& behind() const { return behind_; }

 private:
  std::vector<std::int32_t> before_, behind_;
};

}  // namespace eaq::text
