#include <algorithm>

#include "eaq/text/normalizer.h"

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/text/byte_level.h"
#include "eaq/text/pattern.h"

namespace eaq::text {

BertNormalizer::BertNormalizer(BertOptions options) : table_(CharacterTable::instance()), options_(options) {
  for (char32_t c = 0; c < ascii_.size(); ++c) {
    char32_t to = c;
    if (options.clean_text && table_.is(c, is_space)) to = ' ';
    if (options.lowercase) to = table_.lower(to);
    ascii_[c] = options.clean_text && table_.is(c, is_removed) ? std::int16_t{-1} : static_cast<std::int16_t>(to);
  }
}

void BertNormalizer::apply(std::string_view text, std::string& to) const {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      if (const int c = ascii(text[at++]); c >= 0) to.push_back(static_cast<char>(c));
      continue;
    }
    std::size_t end = at + 1;
    while (end < text.size() && !ends_run(text[end])) ++end;
    apply_run(text.substr(at, end - at), to);
    at = end;
  }
}

// ASCII is inert in every step and does not let marks past it, so that a run can be normalized by itself.
void BertNormalizer::apply_run(std::string_view run, std::string& to) const {
  thread_local std::string cleaned, decomposed;
  cleaned.clear();
  bool reorders = false;
  for (std::size_t at = 0; at < run.size();) {
    const CodePoint c = code_point_at(run.data() + at);
    const unsigned classes = table_.classes(c.value);
    const std::string_view bytes = run.substr(at, c.bytes);
    at += c.bytes;
    if (options_.clean_text && (classes & is_removed) != 0) continue;
    if (options_.clean_text && (classes & is_space) != 0) {
      cleaned.push_back(' ');
      continue;
    }
    reorders |= (classes & changes_in_nfd) != 0;
    if (!options_.handle_chinese_chars || !is_chinese(c.value)) {
      cleaned += bytes;
      continue;
    }
    (cleaned += ' ') += bytes;
    cleaned += ' ';
  }
  std::string_view text = cleaned;
  const bool strip = options_.strip_accents && reorders;
  if (strip) {
    decomposed.clear();
    append_normalized(Form::nfd, cleaned, decomposed);
    text = decomposed;
  }
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text.data() + at);
    const std::string_view bytes = text.substr(at, c.bytes);
    at += c.bytes;
    if (strip && table_.is(c.value, is_nonspacing_mark)) continue;
    if (options_.lowercase) {
      append_lower(c.value, table_, to);
    } else {
      to += bytes;
    }
  }
}

namespace {

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(Form form) : form_(form) {}
  void apply(std::string_view text, std::string& to) const override { append_normalized(form_, text, to); }

 private:
  Form form_;
};

class Lowercase : public Normalizer {
 public:
  void apply(std::string_view text, std::string& to) const override {
    const CharacterTable& table = CharacterTable::instance();
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = code_point_at(text.data() + at);
      append_lower(c.value, table, to);
      at += c.bytes;
    }
  }
};

class StripAccents : public Normalizer {
 public:
  void apply(std::string_view text, std::string& to) const override {
    const CharacterTable& table = CharacterTable::instance();
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = code_point_at(text.data() + at);
      if (!table.is(c.value, is_combining_mark)) to += text.substr(at, c.bytes);
      at += c.bytes;
    }
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(std::string_view text, std::string& to) const override {
    const CharacterTable& table = CharacterTable::instance();
    while (left_ && !text.empty()) {
      const CodePoint c = code_point_at(text.data());
      if (!table.is(c.value, is_space)) break;
      text.remove_prefix(c.bytes);
    }
    while (right_ && !text.empty()) {
      const CodePoint c = code_point_before(text.data() + text.size());
      if (!table.is(c.value, is_space)) break;
      text.remove_suffix(c.bytes);
    }
    to += text;
  }

 private:
  bool left_, right_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::string_view text, std::string& to) const override {
    std::vector<Part> parts;
    pattern_.parts(text, parts);
    for (const Part& part : parts) to += part.match ? std::string_view(content_) : text.substr(part.begin, part.end - part.begin);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string content) : content_(std::move(content)) {}
  void apply(std::string_view text, std::string& to) const override {
    if (!text.empty()) (to += content_) += text;
  }

 private:
  std::string content_;
};

class ToByteLevel : public Normalizer {
 public:
  void apply(std::string_view text, std::string& to) const override { append_byte_level(text, to); }
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(std::string_view text, std::string& to) const override {
    std::string from(text), next;
    for (const auto& step : steps_) {
      next.clear();
      step->apply(from, next);
      from.swap(next);
    }
    to += from;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

BertOptions read_bert_options(const Json& section, const std::string& file) {
  BertOptions options;
  options.clean_text = get<bool>(section, "clean_text", file);
  options.handle_chinese_chars = get<bool>(section, "handle_chinese_chars", file);
  options.lowercase = get<bool>(section, "lowercase", file);
  options.strip_accents = get_or<bool>(section, "strip_accents", file, options.lowercase);
  return options;
}

std::unique_ptr<Normalizer> make_normalizer(const Json& section, const std::string& file) {
  if (section.is_null()) return nullptr;
  const auto type = get<std::string>(section, "type", file);
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(read_bert_options(section, file));
  if (type == "NFC") return std::make_unique<UnicodeForm>(Form::nfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(Form::nfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(Form::nfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(Form::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "ByteLevel") return std::make_unique<ToByteLevel>();
  if (type == "Prepend") return std::make_unique<Prepend>(get<std::string>(section, "prepend", file));
  if (type == "Strip")
    return std::make_unique<Strip>(get<bool>(section, "strip_left", file), get<bool>(section, "strip_right", file));
  if (type == "Replace" && section.contains("pattern"))
    return std::make_unique<Replace>(Pattern(section["pattern"], file), get<std::string>(section, "content", file));
  if (type == "Sequence" && section.contains("normalizers") && section["normalizers"].is_array()) {
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const Json& step : section["normalizers"])
      if (auto made = make_normalizer(step, file)) steps.push_back(std::move(made));
    return std::make_unique<NormalizerSequence>(std::move(steps));
  }
  throw Error(ErrorKind::input, printable(file) + ": the normalizer '" + printable(type) + "' is not supported");
}

}  // namespace eaq::text
