#include "eaq/dataset/dataset.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "eaq/base/json.h"
#include "eaq/dataset/rows.h"
#include "eaq/text/text.h"

namespace eaq {
namespace {

/// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "eaq-dataset-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
    std::filesystem::remove_all(path_);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Every byte is a token, between 256 and 257; counts the bytes that it was given.
class Bytes final : public Tokenizer {
 public:
  explicit Bytes(std::int32_t shift = 0) : shift_(shift) {}
  mutable std::size_t seen = 0;

  std::string_view kind() const override { return "bytes"; }
  void encode_into(std::string_view text, const EncodeOptions& options, std::vector<std::int32_t>& ids) const override {
    seen += text.size();
    if (options.max_length) text = text.substr(0, static_cast<std::size_t>(*options.max_length - 2));
    ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) + shift_);
    ids.push_back(257);
  }
  std::string decode(std::span<const std::int32_t>, bool) const override { return {}; }
  std::int64_t vocab_size() const override { return 258; }
  std::optional<std::int32_t> token_to_id(std::string_view) const override { return {}; }
  std::optional<std::string> id_to_token(std::int32_t) const override { return {}; }
  std::optional<std::int32_t> special_id(std::string_view) const override { return {}; }
  std::int64_t special_tokens_added() const override { return 2; }
  std::optional<std::int64_t> model_max_length() const override { return {}; }
  Side truncation_side() const override { return Side::right; }
  const std::optional<Truncation>& file_truncation() const override { return truncation_; }
  const std::optional<Padding>& file_padding() const override { return padding_; }
  Side padding_side() const override { return Side::right; }

 private:
  std::int32_t shift_;
  std::optional<Truncation> truncation_;
  std::optional<Padding> padding_;
};

std::string text_of(std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) text += id == 256 ? '<' : id == 257 ? '>' : static_cast<char>(id);
  return text;
}

template <class F>
std::string error_of(F&& f, ErrorKind kind = ErrorKind::input) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "no error";
}

Sentences sentences_of(const std::string& content, const SentenceOptions& options = {}, const char* name = "x.tsv") {
  const Folder folder;
  write_text(folder / name, content);
  return prepare_sentences(folder / name, Bytes(), options);
}

/// What is said about a file of that content, without the folder.
std::string complaint(const std::string& content, const SentenceOptions& options = {}, const char* name = "x.tsv") {
  const std::string message = error_of([&] { sentences_of(content, options, name); });
  const auto at = message.find(std::string(name) + ": ");
  return at == message.npos ? message : message.substr(at);
}

TEST(Tsv, ColumnsAreFoundByTheirNames) {
  for (const char* content :
       {"label\ttext_a\n1\tgood film\n0\tbad\n", "sentence\tlabel\ngood film\t1\nbad\t0\n",
        "id\tlabel\tx\tsentence\n7\t1\t\tgood film\n8\t0\t\tbad", "label\tsentence\r\n1\tgood film\r\n0\tbad\r\n",
        "\xEF\xBB\xBFlabel\tsentence\n1\tgood film\n0\tbad\n\n\n"}) {
    const Sentences s = sentences_of(content);
    ASSERT_EQ(s.size(), 2u) << content;
    EXPECT_EQ(text_of(s.sentence(0)), "<good film>");
    EXPECT_EQ(text_of(s.sentence(1)), "<bad>");
    EXPECT_EQ(s.labels, (std::vector<std::int32_t>{1, 0}));
    EXPECT_EQ(s.begin, (std::vector<std::int64_t>{0, 11, 16}));
  }
}

TEST(Tsv, FieldsMayBeNamed) {
  const Sentences s = sentences_of("y\tsentence\treview\n1\tno\tyes\n", {.text_field = "review", .label_field = "y"});
  EXPECT_EQ(text_of(s.sentence(0)), "<yes>");
}

TEST(Tsv, QuotesAreText) { EXPECT_EQ(text_of(sentences_of("label\tsentence\n1\t\"a\"\"b\n").sentence(0)), "<\"a\"\"b>"); }

TEST(Tsv, MissingColumnsAreNamed) {
  EXPECT_EQ(complaint("sentence\nx\n"), "x.tsv: line 1 must name the columns, and 'label' is not among 'sentence'");
  EXPECT_EQ(complaint("label\ttext\n1\tx\n", {.text_field = "review"}),
            "x.tsv: line 1 must name the columns, and 'review' is not among 'label', 'text'");
  EXPECT_EQ(complaint("label\tx\n1\tx\n"),
            "x.tsv: line 1 must name the columns, and 'sentence' or 'text_a' is not among 'label', 'x'");
  EXPECT_EQ(complaint("label\tlabel\tsentence\n"), "x.tsv: line 1 names 'label' twice");
}

TEST(Tsv, RaggedRowsAndBlankLinesAreNamedByTheirLine) {
  EXPECT_EQ(complaint("label\tsentence\n1\ta\n1\ta\tb\n"), "x.tsv: line 3 has 3 columns, line 1 names 2");
  EXPECT_EQ(complaint("label\tsentence\n1\ta\n1\n"), "x.tsv: line 3 has 1 columns, line 1 names 2");
  EXPECT_EQ(complaint("label\tsentence\n1\ta\n\n1\tb\n"), "x.tsv: line 3 is empty");
}

TEST(Tsv, LabelsAreIntegersThatTheModelHas) {
  EXPECT_EQ(complaint("label\tsentence\npositive\ta\n"), "x.tsv: line 2 has the label 'positive', which is no integer");
  EXPECT_EQ(complaint("label\tsentence\n\ta\n"), "x.tsv: line 2 has the label '', which is no integer");
  EXPECT_EQ(complaint("label\tsentence\n1.0\ta\n"), "x.tsv: line 2 has the label '1.0', which is no integer");
  EXPECT_EQ(complaint("label\tsentence\n99999999999999999999\ta\n"),
            "x.tsv: line 2 has the label '99999999999999999999', which is no integer");
  EXPECT_EQ(complaint("label\tsentence\n1\ta\n2\ta\n"), "x.tsv: line 3 has the label 2, the model's are 0 to 1");
  EXPECT_EQ(complaint("label\tsentence\n-1\ta\n"), "x.tsv: line 2 has the label -1, the model's are 0 to 1");
  EXPECT_EQ(sentences_of("label\tsentence\n4\ta\n", {.label_count = 5}).labels.front(), 4);
}

TEST(Tsv, TextIsUtf8) {
  EXPECT_EQ(complaint("label\tsentence\n1\ta\n1\t\xE9t\xE9\n"),
            "x.tsv: line 3 is not valid UTF-8 (convert it, e.g. iconv -f LATIN1 -t UTF-8)");
}

TEST(Tsv, AFileWithoutSentencesIsAnError) {
  EXPECT_EQ(complaint(""), "x.tsv: is empty");
  EXPECT_EQ(complaint("label\tsentence\n"), "x.tsv: holds no sentence");
}

TEST(Jsonl, FieldsAreFoundByTheirNames) {
  const Sentences s =
      sentences_of("{\"text\":\"a\\n\\u00e9\",\"label\":1}\n\n{\"label\":0,\"sentence\":\"b\",\"text\":\"c\"}", {}, "x.jsonl");
  ASSERT_EQ(s.size(), 2u);
  EXPECT_EQ(text_of(s.sentence(0)), "<a\n\xC3\xA9>");
  EXPECT_EQ(text_of(s.sentence(1)), "<b>");
  EXPECT_EQ(s.labels, (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(text_of(sentences_of(R"({"q":"x","a":1})", {.text_field = "q", .label_field = "a"}, "x.ndjson").sentence(0)), "<x>");
}

TEST(Jsonl, MistakesAreNamedByTheirLine) {
  const auto said = [](const std::string& content) { return complaint(content, {}, "x.jsonl"); };
  EXPECT_EQ(said("{\"text\":\"a\",\"label\":1}\n[1]\n"), "x.jsonl: line 2 is no JSON object");
  EXPECT_EQ(said("{\"label\":1}\n"), "x.jsonl: line 1 has no 'sentence'");
  EXPECT_EQ(said("{\"text\":\"a\"}\n"), "x.jsonl: line 1 has no 'label'");
  EXPECT_EQ(said("{\"text\":5,\"label\":1}\n"), "x.jsonl: line 1 has a 'text' that is no text");
  EXPECT_EQ(said("{\"text\":\"a\",\"label\":\"1\"}\n"), "x.jsonl: line 1 has a 'label' that is no integer");
  EXPECT_EQ(said("{\"text\":\"a\",\"label\":2}\n"), "x.jsonl: line 1 has the label 2, the model's are 0 to 1");
  EXPECT_EQ(said("{\"text\":\"a\",\"label\":18446744073709551615}\n").find("x.jsonl: line 1 has the label"), 0u);
  EXPECT_EQ(said("{\"text\":\"a\",\"label\":1}\n{oops\n").find("x.jsonl: line 2: not valid JSON"), 0u);
  EXPECT_EQ(said("\n"), "x.jsonl: holds no sentence");
}

TEST(Sentences, AreCutToTheMaximumAndCounted) {
  const Sentences s = sentences_of("label\tsentence\n1\tabcdef\n1\tabc\n1\tabcd\n", {.max_length = 6});
  EXPECT_EQ(text_of(s.sentence(0)), "<abcd>");
  EXPECT_EQ(text_of(s.sentence(2)), "<abcd>");
  EXPECT_EQ(s.truncated, 1);
}

TEST(Sentences, LimitKeepsTheFirst) {
  const Sentences s = sentences_of("label\tsentence\n1\ta\n0\tb\n1\tc\n", {.limit = 2});
  EXPECT_EQ(s.size(), 2u);
  EXPECT_EQ(text_of(s.ids), "<a><b>");
  EXPECT_EQ(s.begin.size(), 3u);
  EXPECT_EQ(sentences_of("label\tsentence\n1\ta\n", {.limit = 9}).size(), 1u);
}

TEST(Sentences, OfSst2DevAreEightHundredSeventyTwo) {
  const Sentences s = prepare_sentences(default_data_path("sst2"), Bytes(), {.name = "sst2"});
  EXPECT_EQ(s.size(), 872u);
  EXPECT_EQ(std::count(s.labels.begin(), s.labels.end(), 1), 444);
  EXPECT_EQ(text_of(s.sentence(1)), "<unflinchingly bleak and desperate >");
  EXPECT_EQ(s.source.hash, "sha256:5492981b3308d3dcf5776d545df31bb8767dbf4bdbd467b251dde39f893f01ca");
}

std::string joined(const std::string& content, Join join, const char* name = "x.txt") {
  return dataset::joined_text(name, content, {.join = join});
}

TEST(TextJoin, RawIsTheFileAsItIs) { EXPECT_EQ(joined(" \n = A = \n\r\n b", Join::raw), " \n = A = \n\r\n b"); }

TEST(TextJoin, HfKeepsALinesOwnEndAndEmptiesBlankLines) {
  EXPECT_EQ(joined(" \n = A = \n \n b \n", Join::hf), "\n\n = A = \n\n\n\n\n b \n");
  EXPECT_EQ(joined("a\nb", Join::hf), "a\n\n\nb");
  EXPECT_EQ(joined("a\n\u00A0\u3000\t\nb\n", Join::hf), "a\n\n\n\n\nb\n");
  EXPECT_EQ(joined("", Join::hf), "");
}

// Length and hash of "\n\n".join(rows) in Python, the rows being those of Hugging Face's wikitext-2-raw-v1.
TEST(TextJoin, HfGivesTheTextOfHuggingFacesGuide) {
  const std::string text = joined(read_text(default_data_path("wikitext2")), Join::hf);
  EXPECT_EQ(text.size(), 1296370u);
  EXPECT_EQ(sha256(text), "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83");
}

TEST(TextJoin, JsonlRecordsAreJoinedByTwoNewlines) {
  const std::string content = "{\"text\":\"a\\n\"}\n{\"text\":\"\"}\n{\"text\":\"b\"}\n";
  EXPECT_EQ(joined(content, Join::raw, "x.jsonl"), "a\n\n\n\n\nb");
  EXPECT_EQ(joined(content, Join::hf, "x.jsonl"), "a\n\n\n\n\nb");
}

TEST(Tokens, AreThoseOfOneString) {
  const Folder folder;
  write_text(folder / "x.txt", "ab\ncd");
  const TokenStream s = prepare_tokens(folder / "x.txt", Bytes(), {});
  EXPECT_EQ(text_of(s.ids), "<ab\ncd>");
  EXPECT_EQ(s.text_bytes, 5);
  EXPECT_EQ(s.source.name, "x.txt");
  EXPECT_EQ(s.source.hash, "sha256:" + sha256("ab\ncd"));
}

TEST(Tokens, TextIsUtf8) {
  const Folder folder;
  write_text(folder / "x.txt", "ab\nc\xFF");
  EXPECT_NE(error_of([&] { prepare_tokens(folder / "x.txt", Bytes(), {}); }).find("x.txt: line 2 is not valid UTF-8"),
            std::string::npos);
}

class Cached : public ::testing::Test {
 protected:
  void SetUp() override { write_text(file, "label\tsentence\n1\tgood\n0\tbad\n"); }
  Sentences load(const SentenceOptions& options = {}) { return prepare_sentences(file, tokenizer, options, cache); }
  /// Loads again and expects that it was made anew, with that note, and that the next load takes it from the cache.
  void expect_rebuilt(const std::string& note, const SentenceOptions& options = {}) {
    const Sentences s = load(options);
    EXPECT_FALSE(s.source.reused);
    EXPECT_NE(s.source.note.find(note), std::string::npos) << s.source.note;
    EXPECT_TRUE(load(options).source.reused);
  }
  std::filesystem::path only(const std::string& extension) const {
    for (const auto& entry : std::filesystem::directory_iterator(cache.folder))
      if (entry.path().extension() == extension) return entry.path();
    return {};
  }

  Folder folder;
  std::filesystem::path file = folder / "x.tsv";
  Bytes tokenizer;
  DataCache cache{.folder = folder / "cache/deep", .tokenizer = "sha256:abc"};
};

TEST_F(Cached, TheSecondTimeNothingIsTokenised) {
  const Sentences first = load();
  EXPECT_FALSE(first.source.reused);
  EXPECT_EQ(first.source.note, "no entry yet");
  const std::size_t seen = tokenizer.seen;
  load();
  const std::size_t probe = tokenizer.seen - seen;
  const Sentences second = load();
  EXPECT_TRUE(second.source.reused);
  EXPECT_EQ(tokenizer.seen - seen, 2 * probe) << "only the probe is encoded again";
  EXPECT_EQ(second.ids, first.ids);
  EXPECT_EQ(second.begin, first.begin);
  EXPECT_EQ(second.labels, first.labels);
  EXPECT_EQ(second.truncated, first.truncated);
  EXPECT_EQ(second.source.hash, first.source.hash);
}

TEST_F(Cached, HoldsAllSentencesWhateverTheLimit) {
  EXPECT_EQ(load({.limit = 1}).size(), 1u);
  EXPECT_EQ(load().size(), 2u);
  EXPECT_TRUE(load({.limit = 1}).source.reused);
  EXPECT_EQ(load({.limit = 1}).size(), 1u);
}

TEST_F(Cached, AnythingThatChangesRebuilds) {
  load();
  write_text(file, "label\tsentence\n1\tgood\n0\tworse\n");
  expect_rebuilt("source has changed");
  tokenizer = Bytes(1);
  expect_rebuilt("tokenizer's code has changed");
  cache.tokenizer = "sha256:def";
  expect_rebuilt("no entry yet");
  expect_rebuilt("no entry yet", {.max_length = 5});
  expect_rebuilt("no entry yet", {.label_count = 3});
}

TEST_F(Cached, ADamagedEntryIsRebuilt) {
  const Sentences first = load();
  std::string bytes = read_text(only(".safetensors"));
  bytes.back() = static_cast<char>(bytes.back() + 1);
  write_text(only(".safetensors"), bytes);
  expect_rebuilt("has another hash");
  std::filesystem::resize_file(only(".safetensors"), 20);
  expect_rebuilt("has another hash");
  std::filesystem::remove(only(".safetensors"));
  expect_rebuilt("damaged");
  write_text(only(".json"), "{");
  expect_rebuilt("damaged");
  write_text(only(".json"), "{}");
  expect_rebuilt("of another kind");
  EXPECT_EQ(load().ids, first.ids);
}

TEST_F(Cached, AForgedEntryIsNotReadOutOfBounds) {
  load();
  // A sound file of sound hash, whose offsets lead outside.
  std::string bytes = read_text(only(".safetensors"));
  const std::int64_t end = 11;  // of "<good><bad>"
  const auto at = bytes.rfind(std::string(reinterpret_cast<const char*>(&end), sizeof end));
  ASSERT_NE(at, bytes.npos);
  bytes[at + 2] = 1;
  write_text(only(".safetensors"), bytes);
  Json manifest = read_json(only(".json"));
  manifest["hash"] = "sha256:" + sha256(bytes);
  write_text(only(".json"), manifest.dump());
  const Sentences s = load();
  EXPECT_FALSE(s.source.reused);
  EXPECT_EQ(text_of(s.ids), "<good><bad>");
}

TEST_F(Cached, ManifestSaysWhatTheTokensDependOn) {
  load();
  const Json manifest = read_json(only(".json"));
  EXPECT_EQ(manifest["schema"], "eaq.tokens/1");
  EXPECT_EQ(manifest["depends_on"]["source"], "sha256:" + sha256_file(file));
  EXPECT_EQ(manifest["depends_on"]["tokenizer"], "sha256:abc");
  EXPECT_EQ(manifest["depends_on"]["eaq"], std::string(version()));
  EXPECT_EQ(manifest["counts"]["labels"], 2);
  EXPECT_EQ(manifest["hash"], "sha256:" + sha256_file(only(".safetensors")));
}

TEST_F(Cached, NothingIsKeptWithoutAFolderOrTheTokenizersHash) {
  EXPECT_EQ(prepare_sentences(file, tokenizer, {}, {}).source.note, "nothing is kept");
  prepare_sentences(file, tokenizer, {}, {.folder = cache.folder});
  EXPECT_FALSE(std::filesystem::exists(cache.folder));
}

TEST_F(Cached, AFolderThatCannotBeWrittenIsNotAnError) {
  write_text(folder / "cache", "a file where the folder should be");
  const Sentences s = load();
  EXPECT_EQ(s.size(), 2u);
  EXPECT_NE(s.source.note.find("nothing is kept: "), std::string::npos) << s.source.note;
}

TEST_F(Cached, TextToo) {
  write_text(folder / "x.txt", "some text");
  const auto text = [&](Join join) { return prepare_tokens(folder / "x.txt", tokenizer, {.join = join}, cache); };
  const TokenStream first = text(Join::raw);
  EXPECT_EQ(first.source.note, "no entry yet");
  const TokenStream second = text(Join::raw);
  EXPECT_TRUE(second.source.reused);
  EXPECT_EQ(second.ids, first.ids);
  EXPECT_EQ(second.text_bytes, 9);
  EXPECT_FALSE(text(Join::hf).source.reused);
  EXPECT_TRUE(text(Join::raw).source.reused);
}

TEST(TokenizerHash, CoversTheFilesThatItIsBuiltFrom) {
  const Folder folder;
  EXPECT_NE(error_of([&] { tokenizer_hash(folder.path()); }).find("holds no tokenizer.json, vocab.txt or vocab.json"),
            std::string::npos);
  write_text(folder / "vocab.txt", "a\n");
  write_text(folder / "config.json", "{}");
  const std::string one = tokenizer_hash(folder.path());
  write_text(folder / "config.json", "{ }");
  EXPECT_EQ(tokenizer_hash(folder.path()), one);
  write_text(folder / "tokenizer_config.json", "{}");
  EXPECT_NE(tokenizer_hash(folder.path()), one);
}

TEST(DefaultData, UnknownTasksAreNamed) {
  EXPECT_EQ(error_of([] { default_data_path("mnli"); }), "there is no data set for the task 'mnli': name a file with --data");
}

}  // namespace
}  // namespace eaq
