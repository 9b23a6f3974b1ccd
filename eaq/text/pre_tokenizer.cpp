#include <algorithm>

#include "eaq/text/pre_tokenizer.h"

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/text/byte_level.h"
#include "eaq/text/gpt2_split.h"

namespace eaq::text {
namespace {

std::string_view view(const Pieces& pieces, const Span& span) {
  return std::string_view(pieces.text).substr(span.first, span.second - span.first);
}

// Steps that only split.
class Splitter : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const final {
    std::vector<Span> spans;
    for (const Span& span : pieces.spans) cut(view(pieces, span), span.first, spans);
    pieces.spans = std::move(spans);
  }

 private:
  virtual void cut(std::string_view piece, std::size_t offset, std::vector<Span>& to) const = 0;
};

class ClassSplitter : public Splitter {
 public:
  ClassSplitter(unsigned mask, Behavior behavior) : mask_(mask), behavior_(behavior) {}

 private:
  void cut(std::string_view piece, std::size_t offset, std::vector<Span>& to) const override {
    std::vector<Part> parts;
    parts_by_class(piece, CharacterTable::instance(), mask_, parts);
    split(parts, behavior_, offset, to);
  }
  unsigned mask_;
  Behavior behavior_;
};

class PatternSplitter : public Splitter {
 public:
  PatternSplitter(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

 private:
  void cut(std::string_view piece, std::size_t offset, std::vector<Span>& to) const override {
    std::vector<Part> parts;
    pattern_.parts(piece, parts);
    if (invert_)
      for (Part& part : parts) part.match = !part.match;
    split(parts, behavior_, offset, to);
  }
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class LiteralSplitter : public Splitter {
 public:
  explicit LiteralSplitter(std::string delimiter) : delimiter_(std::move(delimiter)) {}

 private:
  void cut(std::string_view piece, std::size_t offset, std::vector<Span>& to) const override {
    std::vector<Part> parts;
    parts_by_literal(piece, delimiter_, parts);
    split(parts, Behavior::removed, offset, to);
  }
  std::string delimiter_;
};

// \w+|[^\w\s]+
class WordSplitter : public Splitter {
 private:
  void cut(std::string_view piece, std::size_t offset, std::vector<Span>& to) const override {
    const CharacterTable& table = CharacterTable::instance();
    const auto kind = [&table](char32_t c) { return table.is(c, is_word) ? 1 : table.is(c, is_space) ? 0 : 2; };
    std::size_t begin = 0;
    int current = 0;
    const auto close = [&](std::size_t at) {
      if (current != 0 && at > begin) to.emplace_back(offset + begin, offset + at);
      begin = at;
    };
    for (std::size_t at = 0; at < piece.size();) {
      const CodePoint c = code_point_at(piece.data() + at);
      if (const int next = kind(c.value); next != current) close(at), current = next;
      at += c.bytes;
    }
    close(piece.size());
  }
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(ByteLevelOptions options, bool map) : options_(options), map_(map) {}

  void apply(Pieces& pieces) const override {
    Pieces made;
    std::string spaced;
    const auto emit = [&](std::string_view word) {
      const std::size_t begin = made.text.size();
      if (map_) {
        append_byte_level(word, made.text);
      } else {
        made.text += word;
      }
      made.spans.emplace_back(begin, made.text.size());
    };
    for (const Span& span : pieces.spans) {
      std::string_view piece = view(pieces, span);
      if (options_.add_prefix_space && !piece.starts_with(' ')) piece = spaced.assign(" ").append(piece);
      if (options_.use_regex) {
        splitter_(piece, emit);
      } else {
        emit(piece);
      }
    }
    pieces = std::move(made);
  }

 private:
  ByteLevelOptions options_;
  bool map_;
  Gpt2Splitter splitter_;
};

// Spaces become a mark ("▁") that stays with the word behind it.
class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string mark, bool prepend, bool cut) : mark_(std::move(mark)), prepend_(prepend), cut_(cut) {}

  void apply(Pieces& pieces) const override {
    Pieces made;
    for (const Span& span : pieces.spans) {
      const std::size_t begin = made.text.size();
      const std::string_view piece = view(pieces, span);
      if (prepend_ && !piece.starts_with(' ') && !piece.starts_with(mark_)) made.text += mark_;
      for (const char c : piece) c == ' ' ? made.text += mark_ : made.text += c;
      if (!cut_) {
        made.spans.emplace_back(begin, made.text.size());
        continue;
      }
      std::vector<Part> parts;
      parts_by_literal(std::string_view(made.text).substr(begin), mark_, parts);
      split(parts, Behavior::merged_with_next, begin, made.spans);
    }
    pieces = std::move(made);
  }

 private:
  std::string mark_;
  bool prepend_, cut_;
};

std::unique_ptr<PreTokenizer> make_metaspace(const Json& section, const std::string& file) {
  const auto scheme = get_or<std::string>(section, "prepend_scheme", file, "always");
  if (scheme != "always" && scheme != "never")
    throw Error(ErrorKind::input,
                printable(file) + ": Metaspace's 'prepend_scheme' '" + printable(scheme) + "' is not supported");
  if (scheme != "never" && !get_or<bool>(section, "add_prefix_space", file, true))
    throw Error(ErrorKind::input, printable(file) + ": Metaspace's 'add_prefix_space' and 'prepend_scheme' disagree");
  return std::make_unique<Metaspace>(get<std::string>(section, "replacement", file), scheme == "always",
                                     get_or<bool>(section, "split", file, true));
}

bool is_byte_level(const Json& section) {
  return section.is_object() && section.contains("type") && section["type"] == "ByteLevel";
}

ByteLevelOptions byte_level_options(const Json& section, const std::string& file) {
  return {get<bool>(section, "add_prefix_space", file), get_or<bool>(section, "use_regex", file, true)};
}

void add_step(const Json& section, const std::string& file, std::vector<std::unique_ptr<PreTokenizer>>& steps,
              std::vector<Json>& flat) {
  if (section.is_null()) return;
  const auto type = get<std::string>(section, "type", file);
  if (type == "Sequence" && section.contains("pretokenizers") && section["pretokenizers"].is_array()) {
    for (const Json& step : section["pretokenizers"]) add_step(step, file, steps, flat);
    return;
  }
  flat.push_back(section);
  if (type == "ByteLevel") {
    steps.push_back(std::make_unique<ByteLevel>(byte_level_options(section, file), true));
  } else if (type == "BertPreTokenizer") {
    steps.push_back(std::make_unique<ClassSplitter>(is_space, Behavior::removed));
    steps.push_back(std::make_unique<ClassSplitter>(is_punctuation, Behavior::isolated));
  } else if (type == "Whitespace") {
    steps.push_back(std::make_unique<WordSplitter>());
  } else if (type == "WhitespaceSplit") {
    steps.push_back(std::make_unique<ClassSplitter>(is_space, Behavior::removed));
  } else if (type == "Punctuation") {
    steps.push_back(
        std::make_unique<ClassSplitter>(is_punctuation, read_behavior(section, "behavior", file, Behavior::isolated)));
  } else if (type == "Digits") {
    const bool single = get<bool>(section, "individual_digits", file);
    steps.push_back(std::make_unique<ClassSplitter>(is_numeric, single ? Behavior::isolated : Behavior::contiguous));
  } else if (type == "Split" && section.contains("pattern")) {
    steps.push_back(std::make_unique<PatternSplitter>(Pattern(section["pattern"], file), read_behavior(section, "behavior", file),
                                                      get<bool>(section, "invert", file)));
  } else if (type == "CharDelimiterSplit") {
    steps.push_back(std::make_unique<LiteralSplitter>(get<std::string>(section, "delimiter", file)));
  } else if (type == "Metaspace") {
    steps.push_back(make_metaspace(section, file));
  } else {
    throw Error(ErrorKind::input, printable(file) + ": the pre-tokenizer '" + printable(type) + "' is not supported");
  }
}

}  // namespace

PreTokenizerPlan make_pre_tokenizer(const Json& section, const std::string& file) {
  PreTokenizerPlan plan;
  std::vector<Json> flat;
  add_step(section, file, plan.steps, flat);
  if (flat.empty()) return plan;
  plan.is_bert = flat.size() == 1 && flat[0]["type"] == "BertPreTokenizer";
  if (!is_byte_level(flat.back())) return plan;
  const ByteLevelOptions options = byte_level_options(flat.back(), file);
  if (flat.size() == 1) plan.only_byte_level = options;
  plan.last_step_without_mapping = std::make_unique<ByteLevel>(options, false);
  return plan;
}

}  // namespace eaq::text
