// WordPiece: a word is cut greedily into the longest pieces of the vocabulary; pieces behind the first carry a prefix ("##"). A
// word that cannot be cut whole is one unknown token. Source: Schuster and Nakajima, 2012, as BERT's tokenization.py has it.
#include <algorithm>

#include "eaq/base/json.h"
#include "eaq/text/config.h"
#include "eaq/text/subword.h"
#include "eaq/text/utf8.h"
#include "eaq/text/vocabulary.h"

namespace eaq {
namespace {

using text::PrefixHash;
using text::Scratch;
using text::Vocabulary;

class WordPiece : public SubwordModel {
 public:
  explicit WordPiece(const SubwordSource& source)
      : vocabulary_(source.model.contains("vocab") ? source.model["vocab"].size() : 0, source.name),
        prefix_(get<std::string>(source.model, "continuing_subword_prefix", source.name)),
        longest_word_(get<int>(source.model, "max_input_chars_per_word", source.name)) {
    const auto fail = [&](const std::string& what) { throw Error(ErrorKind::input, printable(source.name) + ": " + what); };
    if (longest_word_ < 0) fail("'max_input_chars_per_word' is " + std::to_string(longest_word_));
    if (!source.model.contains("vocab") || !source.model["vocab"].is_object()) fail("the WordPiece model has no 'vocab' object");
    for (const auto& [token, id] : source.model["vocab"].items()) {
      if (!id.is_number_integer()) fail("the id of '" + printable(token) + "' is not an integer");
      vocabulary_.add(token, id.get<std::int64_t>());
    }
    vocabulary_.finish();
    const auto unknown = get<std::string>(source.model, "unk_token", source.name);
    const auto id = vocabulary_.id(unknown);
    if (!id) fail("the unknown token '" + printable(unknown) + "' is not in the vocabulary");
    unknown_ = *id;
    prefix_hash_.add(prefix_);
  }

  std::int64_t vocab_size() const override { return vocabulary_.size(); }
  std::optional<std::int32_t> token_to_id(std::string_view token) const override { return vocabulary_.id(token); }
  std::optional<std::string_view> id_to_token(std::int32_t id) const override { return vocabulary_.token(id); }

 protected:
  void split_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& ids) const override {
    if (word.size() > static_cast<std::size_t>(longest_word_) &&
        text::count_code_points(word) > static_cast<std::size_t>(longest_word_)) {
      ids.push_back(unknown_);
      return;
    }
    const std::size_t before = ids.size();
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = longest_piece(word.substr(at), at > 0, scratch, ids);
      if (length == 0) {
        ids.resize(before);
        ids.push_back(unknown_);
        return;
      }
      at += length;
    }
  }

 private:
  // Length of the longest piece that `rest` begins with, whose id is appended; 0 where there is none.
  std::size_t longest_piece(std::string_view rest, bool continuing, Scratch& scratch, std::vector<std::int32_t>& ids) const {
    const std::string_view prefix = continuing ? std::string_view(prefix_) : std::string_view();
    if (vocabulary_.longest() < prefix.size()) return 0;
    rest = rest.substr(0, vocabulary_.longest() - prefix.size());
    PrefixHash hash = continuing ? prefix_hash_ : PrefixHash();
    scratch.hashes.clear();
    for (const char c : rest) {
      hash.add(c);
      scratch.hashes.push_back(hash.state);
    }
    // Pieces are well-formed UTF-8, so none is found that ends inside a code point.
    for (std::size_t length = rest.size(); length > 0; --length) {
      const std::int32_t id = vocabulary_.find(prefix, rest.substr(0, length), {scratch.hashes[length - 1]});
      if (id < 0) continue;
      ids.push_back(id);
      return length;
    }
    return 0;
  }

  Vocabulary vocabulary_;
  std::string prefix_;
  PrefixHash prefix_hash_;
  int longest_word_;
  std::int32_t unknown_ = 0;
};

std::unique_ptr<SubwordModel> from_json(const SubwordSource& source) { return std::make_unique<WordPiece>(source); }

// As Transformers' BertTokenizer reads vocab.txt: a token a line, the line's number its id.
Json read_vocabulary(const std::filesystem::path& path) {
  const std::string file = read_text(path);
  if (!is_utf8(file)) throw Error(ErrorKind::input, printable(path.string()) + ": not valid UTF-8");
  Json vocabulary = Json::object();
  auto& members = vocabulary.get_ref<Json::object_t&>();
  std::int64_t id = 0;
  for (std::string_view rest = file; !rest.empty(); ++id) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);  // Python's universal newlines
    members.push_back({std::string(line), id});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return vocabulary;
}

TokenizerDocument from_files(const std::filesystem::path& dir, const text::TokenizerConfig& config) {
  static constexpr std::string_view as_bert = R"({
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                   "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
    "model": {"type": "WordPiece", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}})";
  Json sections = parse_json(as_bert, "BERT's tokenizer");
  sections["model"]["unk_token"] = config.token("unk").value_or("[UNK]");
  sections["model"]["vocab"] = read_vocabulary(dir / "vocab.txt");
  sections["post_processor"] =
      text::template_around(config.token("cls").value_or("[CLS]"), config.token("sep").value_or("[SEP]"));
  static constexpr std::pair<std::string_view, std::string_view> roles[] = {
      {"unk", "[UNK]"}, {"sep", "[SEP]"}, {"pad", "[PAD]"}, {"cls", "[CLS]"}, {"mask", "[MASK]"}};
  text::add_special_tokens(sections, config, roles);
  return {std::make_shared<Json>(std::move(sections)), (dir / "vocab.txt").string()};
}

}  // namespace

namespace text_wordpiece {

const TokenizerKind& entry() {
  static const TokenizerKind kind{.name = "wordpiece",
                                  .about = "WordPiece, as BERT and DistilBERT have it",
                                  .json_type = "WordPiece",
                                  .vocabulary_files = {"vocab.txt"},
                                  .from_json = from_json,
                                  .from_files = from_files};
  return kind;
}

}  // namespace text_wordpiece
}  // namespace eaq
