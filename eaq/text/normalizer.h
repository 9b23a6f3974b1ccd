// Normalizers: what a tokenizer.json does to the text before it is split.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "eaq/text/json_fwd.h"
#include "eaq/text/unicode.h"

namespace eaq::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Appends the normalized `text` to `to`. `text` is well-formed UTF-8.
  virtual void apply(std::string_view text, std::string& to) const = 0;
};

/// Null for a null section. Error{input} for one that is not supported.
std::unique_ptr<Normalizer> make_normalizer(const Json& section, const std::string& file);

struct BertOptions {
  bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;
};

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(BertOptions options);
  void apply(std::string_view text, std::string& to) const override;

  /// Appends a normalized run of text that is not ASCII but for characters that go away.
  void apply_run(std::string_view run, std::string& to) const;

  /// For an ASCII byte: what it becomes, and -1 where it goes away.
  int ascii(char c) const { return ascii_[static_cast<unsigned char>(c)]; }
  bool ends_run(char c) const { return static_cast<unsigned char>(c) < 0x80 && ascii(c) >= 0; }

 private:
  const CharacterTable& table_;
  BertOptions options_;
  std::array<std::int16_t, 128> ascii_{};
};

BertOptions read_bert_options(const Json& section, const std::string& file);

}  // namespace eaq::text
