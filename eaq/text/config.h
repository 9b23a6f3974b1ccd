// tokenizer_config.json, special_tokens_map.json and added_tokens.json: what stands beside a vocabulary.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eaq/text/json_fwd.h"
#include "eaq/text/subword.h"

namespace eaq::text {

/// An added token, as tokenizer.json has it. Its id follows from the vocabulary and the order of adding, as in the library, which
/// overlooks the id that the file gives.
struct AddedToken {
  std::string content;
  bool special = false, single_word = false, lstrip = false, rstrip = false, normalized = true;
};

AddedToken read_added_token(const Json& section, const std::string& file);

class TokenizerConfig {
 public:
  TokenizerConfig();  ///< says nothing
  explicit TokenizerConfig(const std::filesystem::path& dir);

  /// The token with a role ("pad", "unk", ...), where the files name one.
  std::optional<std::string> token(std::string_view role) const;
  std::optional<bool> flag(const char* option) const;
  std::optional<std::string> text(const char* option) const;
  /// None where the file has none, or the huge number that Transformers writes for "no limit".
  std::optional<std::int64_t> model_max_length() const;

  /// The tokens that the files add, in the order of their ids.
  std::vector<AddedToken> added_tokens() const;
  /// The token with a role, with its properties; special.
  std::optional<AddedToken> special_token(std::string_view role) const;
  /// Further special tokens, without a role.
  std::vector<AddedToken> extra_special_tokens() const;

 private:
  const Json* find(const std::string& key) const;
  AddedToken as_special(const Json& value) const;

  std::shared_ptr<const Json> config_, added_;  // objects
  std::string name_;
};

/// A post-processor section that puts `before` and `behind` around a text, each where not empty.
Json template_around(const std::string& before, const std::string& behind);

/// Writes the section `added_tokens` for a tokenizer made from vocabulary files, in the order in which Transformers adds them.
/// `defaults`: the roles that this kind fills where the files are silent.
void add_special_tokens(Json& sections, const TokenizerConfig& config,
                        std::span<const std::pair<std::string_view, std::string_view>> defaults);

}  // namespace eaq::text
