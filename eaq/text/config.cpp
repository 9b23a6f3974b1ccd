#include "eaq/text/config.h"

#include <algorithm>
#include <charconv>
#include "eaq/base/json.h"

namespace eaq::text {
namespace {

constexpr const char* roles[] = {"bos", "eos", "unk", "sep", "pad", "cls", "mask"};

std::int64_t id_from_key(const std::string& key, const std::string& file) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size())
    throw Error(ErrorKind::input, printable(file) + ": '" + printable(key) + "' in 'added_tokens_decoder' is not an id");
  return id;
}

Json to_json(const AddedToken& token) {
  return {{"content", token.content}, {"special", token.special}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},   {"rstrip", token.rstrip},   {"normalized", token.normalized}};
}

}  // namespace

AddedToken read_added_token(const Json& section, const std::string& file) {
  AddedToken token{.content = get<std::string>(section, "content", file)};
  token.special = get_or<bool>(section, "special", file, false);
  token.single_word = get_or<bool>(section, "single_word", file, false);
  token.lstrip = get_or<bool>(section, "lstrip", file, false);
  token.rstrip = get_or<bool>(section, "rstrip", file, false);
  token.normalized = get_or<bool>(section, "normalized", file, !token.special);
  return token;
}

TokenizerConfig::TokenizerConfig()
    : config_(std::make_shared<const Json>(Json::object())), added_(std::make_shared<const Json>(Json::object())) {}

TokenizerConfig::TokenizerConfig(const std::filesystem::path& dir) : name_((dir / "tokenizer_config.json").string()) {
  Json config = Json::object(), special = Json::object(), added = Json::object();
  const auto read = [&](const char* file, Json& into) {
    if (!std::filesystem::exists(dir / file)) return;
    into = read_json(dir / file);
    if (!into.is_object()) throw Error(ErrorKind::input, printable((dir / file).string()) + ": not a JSON object");
  };
  read("tokenizer_config.json", config);
  // Transformers overlooks the older files where the newer one lists the added tokens.
  if (!config.contains("added_tokens_decoder")) {
    read("special_tokens_map.json", special);
    for (const auto& [key, value] : special.items()) config[key] = value;
    read("added_tokens.json", added);
  }
  config_ = std::make_shared<const Json>(std::move(config));
  added_ = std::make_shared<const Json>(std::move(added));
}

const Json* TokenizerConfig::find(const std::string& key) const {
  const auto it = config_->find(key);
  return it == config_->end() || it->is_null() ? nullptr : &*it;
}

std::optional<std::string> TokenizerConfig::token(std::string_view role) const {
  const auto token = special_token(role);
  return token ? std::optional(token->content) : std::nullopt;
}

std::optional<bool> TokenizerConfig::flag(const char* option) const {
  return find(option) == nullptr ? std::nullopt : std::optional(get<bool>(*config_, option, name_));
}

std::optional<std::string> TokenizerConfig::text(const char* option) const {
  return find(option) == nullptr ? std::nullopt : std::optional(get<std::string>(*config_, option, name_));
}

std::optional<std::int64_t> TokenizerConfig::model_max_length() const {
  if (find("model_max_length") == nullptr) return std::nullopt;
  const double length = get<double>(*config_, "model_max_length", name_);
  if (length > 1e15) return std::nullopt;
  if (length < 1 || length != static_cast<double>(static_cast<std::int64_t>(length)))
    throw Error(ErrorKind::input, printable(name_) + ": 'model_max_length' must be a whole number from 1 on");
  return static_cast<std::int64_t>(length);
}

AddedToken TokenizerConfig::as_special(const Json& value) const {
  AddedToken token;
  if (value.is_object()) {
    token = read_added_token(value, name_);
    token.normalized = get_or<bool>(value, "normalized", name_, false);
  } else if (value.is_string()) {
    token.content = value.get<std::string>();
    token.normalized = false;
    // Its properties stand where the added tokens are listed.
    for (const AddedToken& added : added_tokens())
      if (added.content == token.content) token = added;
  } else {
    throw Error(ErrorKind::input, printable(name_) + ": a special token is neither a string nor an object");
  }
  token.special = true;
  return token;
}

std::optional<AddedToken> TokenizerConfig::special_token(std::string_view role) const {
  const Json* value = find(std::string(role) + "_token");
  return value == nullptr ? std::nullopt : std::optional(as_special(*value));
}

std::vector<AddedToken> TokenizerConfig::extra_special_tokens() const {
  std::vector<AddedToken> tokens;
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* list = find(key);
    if (list == nullptr) continue;
    for (const Json& value : *list) tokens.push_back(as_special(value));
  }
  return tokens;
}

std::vector<AddedToken> TokenizerConfig::added_tokens() const {
  std::vector<std::pair<std::int64_t, AddedToken>> tokens;
  if (const Json* listed = find("added_tokens_decoder"); listed != nullptr) {
    for (const auto& [id, token] : listed->items()) tokens.emplace_back(id_from_key(id, name_), read_added_token(token, name_));
  }
  for (const auto& [content, id] : added_->items()) {
    if (!id.is_number_integer())
      throw Error(ErrorKind::input, "added_tokens.json: the id of '" + printable(content) + "' is no integer");
    AddedToken token{.content = content};
    for (const char* role : roles) {
      const Json* value = find(std::string(role) + "_token");
      if (value != nullptr &&
          (*value == content || (value->is_object() && value->contains("content") && (*value)["content"] == content)))
        token.special = true;
    }
    token.normalized = !token.special;
    tokens.emplace_back(id.get<std::int64_t>(), std::move(token));
  }
  std::stable_sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<AddedToken> sorted;
  for (auto& [id, token] : tokens) sorted.push_back(std::move(token));
  return sorted;
}

Json template_around(const std::string& before, const std::string& behind) {
  // Without "ids": they are looked up when the tokenizer is whole.
  Json section = {{"type", "TemplateProcessing"}, {"single", Json::array()}, {"special_tokens", Json::object()}};
  const auto add = [&section](const std::string& token) {
    if (token.empty()) return;
    section["single"].push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
    section["special_tokens"][token] = {{"id", token}, {"tokens", Json::array({token})}};
  };
  add(before);
  section["single"].push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add(behind);
  return section;
}

void add_special_tokens(Json& sections, const TokenizerConfig& config,
                        std::span<const std::pair<std::string_view, std::string_view>> defaults) {
  std::vector<AddedToken> tokens = config.added_tokens();
  const auto add = [&tokens](AddedToken token) {
    const auto same = [&token](const AddedToken& other) { return other.content == token.content; };
    if (std::none_of(tokens.begin(), tokens.end(), same)) tokens.push_back(std::move(token));
  };
  for (const char* role : roles) {
    if (auto token = config.special_token(role)) {
      add(std::move(*token));
      continue;
    }
    for (const auto& [default_role, content] : defaults)
      if (default_role == role) add({.content = std::string(content), .special = true, .normalized = false});
  }
  for (AddedToken& token : config.extra_special_tokens()) add(std::move(token));
  sections["added_tokens"] = Json::array();
  for (const AddedToken& token : tokens) sections["added_tokens"].push_back(to_json(token));
}

}  // namespace eaq::text
