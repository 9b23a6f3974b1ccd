#include "eaq/text/pipeline.h"

#include <algorithm>
#include <limits>
#include "eaq/base/json.h"

namespace eaq::text {
namespace {

const Json& section(const TokenizerDocument& document, const char* key) {
  static const Json none;
  const auto it = document.sections->find(key);
  return it == document.sections->end() ? none : *it;
}

Side read_side(const std::string& name, const std::string& file) {
  if (name == "right" || name == "Right") return Side::right;
  if (name == "left" || name == "Left") return Side::left;
  throw Error(ErrorKind::input, printable(file) + ": the side '" + printable(name) + "' is neither left nor right");
}

std::int64_t positive(const Json& value, const char* what, const std::string& file) {
  if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::input, printable(file) + ": '" + what + "' is not an integer in 0..2147483647");
  return value.get<std::int64_t>();
}

std::optional<Truncation> read_truncation(const Json& json, const std::string& file) {
  if (json.is_null()) return std::nullopt;
  Truncation truncation{.max_length = get<int>(json, "max_length", file)};
  truncation.side = read_side(get_or<std::string>(json, "direction", file, "Right"), file);
  return truncation;
}

std::optional<Padding> read_padding(const Json& json, const std::string& file) {
  if (json.is_null()) return std::nullopt;
  Padding padding;
  const Json& strategy = json.contains("strategy") ? json["strategy"] : Json("BatchLongest");
  if (strategy.is_object() && strategy.contains("Fixed")) {
    padding.length = positive(strategy["Fixed"], "Fixed", file);
  } else if (strategy != "BatchLongest") {
    throw Error(ErrorKind::input, printable(file) + ": a padding 'strategy' is neither \"BatchLongest\" nor {\"Fixed\": N}");
  }
  padding.multiple_of = std::max(1, get_or<int>(json, "pad_to_multiple_of", file, 1));
  padding.pad_id = get<int>(json, "pad_id", file);
  padding.side = read_side(get_or<std::string>(json, "direction", file, "Right"), file);
  return padding;
}

const TokenizerKind& kind_of(const Json& model, const std::string& file) {
  std::string type = get_or<std::string>(model, "type", file, "");
  // Files from before the type was written: only a WordPiece has this option.
  if (type.empty() && model.contains("max_input_chars_per_word")) type = "WordPiece";
  if (type.empty() && model.contains("merges")) type = "BPE";
  for (const auto& row : tokenizer_kinds())
    if (row.entry != nullptr && row.entry->json_type == type) return *row.entry;
  throw Error(ErrorKind::input, printable(file) + ": the tokenizer model '" + printable(type) +
                                    "' is not supported (there are: " + names_of(tokenizer_kinds()) + ")");
}

}  // namespace

Pipeline::Pipeline(const TokenizerDocument& document, const TokenizerConfig& config) {
  const std::string& file = document.name;
  const Json& model = section(document, "model");
  if (!model.is_object()) throw Error(ErrorKind::input, printable(file) + ": there is no 'model' object");
  kind_ = &kind_of(model, file);
  model_ = kind_->from_json({model, file});
  read_sections(document);
  choose_way();
  read_roles(config);
  model_max_length_ = config.model_max_length();
  if (truncation_) truncation_side_ = truncation_->side;
  if (padding_) padding_side_ = padding_->side;
  if (const auto side = config.text("truncation_side")) truncation_side_ = read_side(*side, "tokenizer_config.json");
  if (const auto side = config.text("padding_side")) padding_side_ = read_side(*side, "tokenizer_config.json");
}

void Pipeline::read_sections(const TokenizerDocument& document) {
  const std::string& file = document.name;
  normalizer_ = make_normalizer(section(document, "normalizer"), file);
  plan_ = make_pre_tokenizer(section(document, "pre_tokenizer"), file);
  decoder_ = make_decoder(section(document, "decoder"), file);
  truncation_ = read_truncation(section(document, "truncation"), file);
  padding_ = read_padding(section(document, "padding"), file);
  std::vector<AddedToken> tokens;
  for (const Json& token : section(document, "added_tokens")) tokens.push_back(read_added_token(token, file));
  added_.emplace(tokens, *model_, normalizer_.get(), file);
  post_processor_ =
      PostProcessor(section(document, "post_processor"), file, [this](std::string_view token) { return token_to_id(token); });
}

void Pipeline::choose_way() {
  bert_ = dynamic_cast<const BertNormalizer*>(normalizer_.get());
  if (bert_ != nullptr && plan_.is_bert && added_->normalized().empty()) way_ = Way::bert;
  if (plan_.last_step_without_mapping == nullptr || !model_->take_bytes()) return;
  plan_.steps.back() = std::move(plan_.last_step_without_mapping);
  if (plan_.only_byte_level && plan_.only_byte_level->use_regex) way_ = Way::byte_level;
}

void Pipeline::read_roles(const TokenizerConfig& config) {
  // Where the configuration is silent, the names that everybody uses, if they are special tokens here.
  static constexpr std::pair<const char*, std::string_view> usual[] = {
      {"pad", "[PAD]"},   {"unk", "[UNK]"},         {"cls", "[CLS]"},        {"sep", "[SEP]"},
      {"mask", "[MASK]"}, {"bos", "<|endoftext|>"}, {"eos", "<|endoftext|>"}};
  for (const auto& [role, name] : usual) {
    const auto named = config.token(role);
    if (!named && !added_->is_special(name)) continue;
    if (const auto id = token_to_id(named.value_or(std::string(name)))) roles_[role] = *id;
  }
  if (padding_ && !roles_.contains("pad")) roles_["pad"] = padding_->pad_id;
}

std::unique_ptr<Scratch> Pipeline::borrow() const {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<Scratch>();
  auto scratch = std::move(idle_.back());
  idle_.pop_back();
  return scratch;
}

void Pipeline::give_back(std::unique_ptr<Scratch> scratch) const {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(scratch));
}

void Pipeline::encode_into(std::string_view text, const EncodeOptions& options, std::vector<std::int32_t>& ids) const {
  const std::size_t added = options.add_special_tokens ? post_processor_.tokens_added() : 0;
  if (options.max_length && *options.max_length < static_cast<std::int64_t>(added))
    throw Error(ErrorKind::usage, "a maximum length of " + std::to_string(*options.max_length) +
                                      " tokens leaves no room for the " + std::to_string(added) + " special tokens");
  auto scratch = borrow();
  if (options.add_special_tokens) ids.insert(ids.end(), post_processor_.before().begin(), post_processor_.before().end());
  const std::size_t begin = ids.size();
  encode_raw(well_formed(text, scratch->repaired), *scratch, ids);
  truncate(options, added, begin, ids);
  if (options.add_special_tokens) ids.insert(ids.end(), post_processor_.behind().begin(), post_processor_.behind().end());
  give_back(std::move(scratch));
}

void Pipeline::truncate(const EncodeOptions& options, std::size_t added, std::size_t begin,
                        std::vector<std::int32_t>& ids) const {
  if (!options.max_length) return;
  const auto room = static_cast<std::size_t>(*options.max_length) - added, length = ids.size() - begin;
  if (length <= room) return;
  const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
  if (truncation_side_ == Side::left) std::copy(ids.end() - static_cast<std::ptrdiff_t>(room), ids.end(), first);
  ids.resize(begin + room);
}

void Pipeline::encode_raw(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  added_->raw().split(
      text,
      [&](std::string_view piece) {
        if (way_ == Way::bert) return encode_bert(piece, scratch, ids);
        if (normalizer_ == nullptr) return encode_normalized(piece, scratch, ids);
        scratch.first.clear();
        normalizer_->apply(piece, scratch.first);
        encode_normalized(scratch.first, scratch, ids);
      },
      [&](std::int32_t id) { ids.push_back(id); });
}

void Pipeline::encode_normalized(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  added_->normalized().split(
      text,
      [&](std::string_view piece) {
        if (way_ == Way::byte_level) return encode_byte_level(piece, scratch, ids);
        encode_steps(piece, scratch, ids);
      },
      [&](std::int32_t id) { ids.push_back(id); });
}

void Pipeline::encode_bert(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  const CharacterTable& table = CharacterTable::instance();
  std::string& word = scratch.word;
  word.clear();
  const auto flush = [&] {
    if (word.empty()) return;
    model_->encode_word(word, scratch, ids);
    word.clear();
  };
  const auto take = [&](char32_t c, std::string_view bytes) {
    const unsigned classes = table.classes(c);
    if ((classes & (is_space | is_punctuation)) == 0) {
      word += bytes;
      return;
    }
    flush();
    if ((classes & is_space) != 0) return;
    model_->encode_word(bytes, scratch, ids);
  };
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      const int c = bert_->ascii(text[at++]);
      if (c < 0) continue;
      const char byte = static_cast<char>(c);
      take(static_cast<char32_t>(c), {&byte, 1});
      continue;
    }
    std::size_t end = at + 1;
    while (end < text.size() && !bert_->ends_run(text[end])) ++end;
    std::string& run = scratch.second;
    run.clear();
    bert_->apply_run(text.substr(at, end - at), run);
    for (std::size_t i = 0; i < run.size();) {
      const CodePoint c = code_point_at(run.data() + i);
      take(c.value, std::string_view(run).substr(i, c.bytes));
      i += c.bytes;
    }
    at = end;
  }
  flush();
}

void Pipeline::encode_byte_level(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  if (plan_.only_byte_level->add_prefix_space && !text.starts_with(' ')) text = scratch.second.assign(" ").append(text);
  splitter_(text, [&](std::string_view word) { model_->encode_word(word, scratch, ids); });
}

void Pipeline::encode_steps(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  if (text.empty()) return;
  Pieces pieces{std::string(text), {{0, text.size()}}};
  for (const auto& step : plan_.steps) step->apply(pieces);
  for (const auto& [begin, end] : pieces.spans)
    model_->encode_word(std::string_view(pieces.text).substr(begin, end - begin), scratch, ids);
}

std::string Pipeline::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int32_t id : ids) {
    auto token = added_->token(id);
    if (!token) token = model_->id_to_token(id);
    if (!token || (skip_special_tokens && added_->is_special(*token))) continue;
    tokens.emplace_back(*token);
  }
  if (decoder_ != nullptr) decoder_->apply(tokens);
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && decoder_ == nullptr) text += ' ';
    text += tokens[i];
  }
  return text;
}

std::optional<std::int32_t> Pipeline::token_to_id(std::string_view token) const {
  const auto id = added_->id(token);
  return id ? id : model_->token_to_id(token);
}

std::optional<std::string> Pipeline::id_to_token(std::int32_t id) const {
  auto token = added_->content(id);
  if (!token) token = model_->id_to_token(id);
  return token ? std::optional(std::string(*token)) : std::nullopt;
}

std::optional<std::int32_t> Pipeline::special_id(std::string_view role) const {
  const auto it = roles_.find(role);
  return it == roles_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace eaq::text
