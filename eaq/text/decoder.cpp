#include "eaq/text/decoder.h"

#include <algorithm>

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/text/byte_level.h"
#include "eaq/text/pattern.h"
#include "eaq/text/utf8.h"

namespace eaq::text {
namespace {

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  std::size_t at = what.empty() ? std::string::npos : text.find(what);
  if (at == std::string::npos) return;
  std::string made;
  std::size_t done = 0;
  for (; at != std::string::npos; at = text.find(what, done)) {
    made.append(text, done, at - done).append(with);
    done = at + what.size();
  }
  text = made.append(text, done);
}

class ByteLevelDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes, repaired;
    for (const std::string& token : tokens)
      if (!append_bytes_of(token, bytes)) bytes += token;
    tokens.assign(1, std::string(well_formed(bytes, repaired)));
  }
};

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool clean_up) : prefix_(std::move(prefix)), clean_up_(clean_up) {}

  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_)) {
          token.erase(0, prefix_.size());
        } else {
          token.insert(0, " ");
        }
      }
      if (clean_up_) clean_up(token);
    }
  }

 private:
  // Token by token, as the library does it: a space is cleaned away only where it stands before its token's punctuation.
  static void clean_up(std::string& token) {
    static constexpr std::pair<std::string_view, std::string_view> rules[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [what, with] : rules) replace_all(token, what, with);
  }

  std::string prefix_;
  bool clean_up_;
};

class SuffixDecoder : public Decoder {  // "BPEDecoder"
 public:
  explicit SuffixDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

class ByteFallbackDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> made;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (is_utf8(bytes)) {
        made.push_back(bytes);
      } else {
        made.insert(made.end(), bytes.size(), "\xef\xbf\xbd");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes.push_back(static_cast<char>(byte));
        continue;
      }
      flush();
      made.push_back(std::move(token));
    }
    flush();
    tokens = std::move(made);
  }

 private:
  static int byte_of(std::string_view token) {  // <0x0A>; also <0x+A>, which Rust's parser takes
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const auto digit = [](char c) {
      return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    };
    const int high = token[3] == '+' ? 0 : digit(token[3]), low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
};

class FuseDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

class StripDecoder : public Decoder {
 public:
  StripDecoder(std::string content, int start, int stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view kept = token;
      for (int i = 0; i < start_ && kept.starts_with(content_); ++i) kept.remove_prefix(content_.size());
      for (int i = 0; i < stop_ && kept.ends_with(content_); ++i) kept.remove_suffix(content_.size());
      token = std::string(kept);
    }
  }

 private:
  std::string content_;
  int start_, stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::vector<Part> parts;
      pattern_.parts(token, parts);
      std::string made;
      for (const Part& part : parts) made += part.match ? content_ : token.substr(part.begin, part.end - part.begin);
      token = std::move(made);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(std::string mark, bool drops_first) : mark_(std::move(mark)), drops_first_(drops_first) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) replace_all(tokens[i], mark_, i == 0 && drops_first_ ? "" : " ");
  }

 private:
  std::string mark_;
  bool drops_first_;
};

class DecoderSequence : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

std::string one_character(const Json& section, const char* key, const std::string& file) {
  auto text = get<std::string>(section, key, file);
  if (count_code_points(text) != 1) throw Error(ErrorKind::input, printable(file) + ": '" + key + "' must be one character");
  return text;
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json& section, const std::string& file) {
  if (section.is_null()) return nullptr;
  const auto type = get<std::string>(section, "type", file);
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "WordPiece")
    return std::make_unique<WordPieceDecoder>(get<std::string>(section, "prefix", file), get<bool>(section, "cleanup", file));
  if (type == "BPEDecoder") return std::make_unique<SuffixDecoder>(get<std::string>(section, "suffix", file));
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Strip")
    return std::make_unique<StripDecoder>(one_character(section, "content", file), get<int>(section, "start", file),
                                          get<int>(section, "stop", file));
  if (type == "Replace" && section.contains("pattern"))
    return std::make_unique<ReplaceDecoder>(Pattern(section["pattern"], file), get<std::string>(section, "content", file));
  if (type == "Metaspace")
    return std::make_unique<MetaspaceDecoder>(one_character(section, "replacement", file),
                                              get_or<std::string>(section, "prepend_scheme", file, "always") != "never");
  if (type == "Sequence" && section.contains("decoders") && section["decoders"].is_array()) {
    std::vector<std::unique_ptr<Decoder>> steps;
    for (const Json& step : section["decoders"])
      if (auto made = make_decoder(step, file)) steps.push_back(std::move(made));
    return std::make_unique<DecoderSequence>(std::move(steps));
  }
  throw Error(ErrorKind::input, printable(file) + ": the decoder '" + printable(type) + "' is not supported");
}

}  // namespace eaq::text
