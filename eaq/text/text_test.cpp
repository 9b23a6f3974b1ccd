#include "eaq/text/text.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "eaq/base/json.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

// A folder with a tokenizer, gone with the test.
class Folder {
 public:
  Folder()
      : path_(fs::path(testing::TempDir()) / ("eaq-tokenizer-" + std::to_string(::getpid()) + "-" + std::to_string(next_++))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder& with(const char* file, std::string_view content) { return write_text(path_ / file, content), *this; }
  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(path_); }
  std::string refusal() const {
    try {
      load();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      return error.what();
    }
    return "";
  }

 private:
  static inline int next_ = 0;
  fs::path path_;
};

// 0 [PAD], 1 [UNK], 2 [CLS], 3 [SEP], 4 [MASK], 5 the, 6 film, 7 is, 8 un, 9 ##film, 10 Film, 11 cafe, 12 café
constexpr std::string_view bert_vocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nfilm\nis\nun\n##film\nFilm\ncafe\ncaf\u00e9\n";

std::string sections(const std::string& more) {
  return R"({"added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]})" + more + "}";
}

TEST(Text, BertVocabularyFilesMakeAnUncasedTokenizer) {
  const auto tokenizer = Folder().with("vocab.txt", bert_vocabulary).load();
  EXPECT_EQ(tokenizer->kind(), "wordpiece");
  EXPECT_EQ(tokenizer->vocab_size(), 13);
  EXPECT_EQ(tokenizer->encode("The UNFILM is [MASK] caf\u00e9"), (Ids{2, 5, 8, 9, 7, 4, 11, 3}));
  EXPECT_EQ(tokenizer->encode("the xyz", {.add_special_tokens = false}), (Ids{5, 1}));
  EXPECT_EQ(tokenizer->pad_id(), 0);
  EXPECT_EQ(tokenizer->special_id("cls"), 2);
  EXPECT_EQ(tokenizer->eos_id(), std::nullopt);
  EXPECT_EQ(tokenizer->special_tokens_added(), 2);
}

TEST(Text, ConfigurationDecidesCaseAndLength) {
  const auto tokenizer = Folder()
                             .with("vocab.txt", bert_vocabulary)
                             .with("tokenizer_config.json", R"({"do_lower_case": false, "model_max_length": 512})")
                             .load();
  EXPECT_EQ(tokenizer->encode("Film film caf\u00e9", {.add_special_tokens = false}), (Ids{10, 6, 12}));
  EXPECT_EQ(tokenizer->model_max_length(), 512);
}

TEST(Text, ModelMaxLengthOfNoLimitIsNone) {
  const auto tokenizer = Folder()
                             .with("vocab.txt", bert_vocabulary)
                             .with("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})")
                             .load();
  EXPECT_EQ(tokenizer->model_max_length(), std::nullopt);
}

TEST(Text, TokensThatTheVocabularyLacksAreNumberedBehindIt) {
  const auto tokenizer =
      Folder()
          .with("vocab.txt", bert_vocabulary)
          .with("special_tokens_map.json", R"({"mask_token": {"content": "<m>", "lstrip": true}, "pad_token": "<p>"})")
          .load();
  EXPECT_EQ(tokenizer->vocab_size(), 15);
  EXPECT_EQ(tokenizer->token_to_id("<p>"), 13);
  EXPECT_EQ(tokenizer->token_to_id("<m>"), 14);
  EXPECT_EQ(tokenizer->id_to_token(14), "<m>");
  EXPECT_EQ(tokenizer->encode("film   <m> film", {.add_special_tokens = false}), (Ids{6, 14, 6}));
}

TEST(Text, GptFilesMakeAByteLevelTokenizer) {
  Folder folder;
  folder
      .with("vocab.json",
            R"({"a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4, "<|endoftext|>": 5, "\u00c3": 6, "\u00a9": 7})")
      .with("merges.txt", "#version: 0.2\na b\n\u0120 ab\n");
  const auto tokenizer = folder.load();
  EXPECT_EQ(tokenizer->kind(), "bpe");
  EXPECT_EQ(tokenizer->encode("ab ab<|endoftext|>\u00e9"), (Ids{3, 4, 5, 6, 7}));
  EXPECT_EQ(tokenizer->decode(Ids{3, 4, 5, 6, 7}), "ab ab<|endoftext|>\u00e9");
  EXPECT_EQ(tokenizer->decode(Ids{3, 5, 6}, true), "ab\ufffd");
  EXPECT_EQ(tokenizer->eos_id(), 5);
  folder.with("tokenizer_config.json", R"({"add_prefix_space": true, "add_bos_token": true})");
  EXPECT_EQ(folder.load()->encode("ab"), (Ids{5, 4}));
}

TEST(Text, IllFormedBytesAreReplacedPartByPart) {
  const auto tokenizer =
      Folder()
          .with("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "\ufffd": 2}, "merges": []}})")
          .load();
  // As Python: one for a cut-off sequence, one for each byte of an overlong form or a surrogate.
  EXPECT_EQ(tokenizer->encode("a\xe2\x82"
                              "b"),
            (Ids{0, 2, 1}));
  EXPECT_EQ(tokenizer->encode("a\xc0\xaf"
                              "b"),
            (Ids{0, 2, 2, 1}));
  EXPECT_EQ(tokenizer->encode("a\xed\xa0\x80"
                              "b"),
            (Ids{0, 2, 2, 2, 1}));
  EXPECT_EQ(tokenizer->encode("a\xf0\x9f\x98"), (Ids{0, 2}));
}

TEST(Text, TruncationKeepsSpecialTokensAndItsSide) {
  Folder folder;
  folder.with("vocab.txt", bert_vocabulary);
  EXPECT_EQ(folder.load()->encode("the film is the film", {.max_length = 4}), (Ids{2, 5, 6, 3}));
  EXPECT_EQ(folder.load()->encode("the film", {.max_length = 2}), (Ids{2, 3}));
  EXPECT_EQ(folder.load()->encode("the film", {.add_special_tokens = false, .max_length = 1}), (Ids{5}));
  EXPECT_THROW(folder.load()->encode("the film", {.max_length = 1}), Error);
  folder.with("tokenizer_config.json", R"({"truncation_side": "left"})");
  EXPECT_EQ(folder.load()->encode("the film is", {.max_length = 4}), (Ids{2, 6, 7, 3}));
}

TEST(Text, SectionsOfTheFileAreOfferedAndNotAppliedUnasked) {
  const auto tokenizer =
      Folder()
          .with("tokenizer.json",
                sections(R"(, "truncation": {"direction": "Left", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
      "padding": {"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": 4, "pad_id": 1, "pad_type_id": 0, "pad_token": "b"})"))
          .load();
  EXPECT_EQ(tokenizer->encode("abba"), (Ids{2, 1, 0}));
  ASSERT_TRUE(tokenizer->file_truncation() && tokenizer->file_padding());
  EXPECT_EQ(tokenizer->file_truncation()->max_length, 1);
  EXPECT_EQ(tokenizer->file_padding()->length, 8);
  EXPECT_EQ(tokenizer->file_padding()->multiple_of, 4);
  EXPECT_EQ(tokenizer->padding().pad_id, 1);
  EXPECT_EQ(tokenizer->padding().side, Side::left);
  EXPECT_EQ(tokenizer->encode("abba", {.max_length = 2}), (Ids{1, 0}));
}

TEST(Text, PaddingFillsToTheLongestRowOnEitherSide) {
  const std::vector<Ids> rows{{5}, {6, 7, 8}, {}};
  const PaddedBatch right = pad(rows, {.pad_id = 9});
  EXPECT_EQ(right.rows, 3);
  EXPECT_EQ(right.length, 3);
  EXPECT_EQ(right.ids, (Ids{5, 9, 9, 6, 7, 8, 9, 9, 9}));
  EXPECT_EQ(right.attention_mask, (std::vector<std::uint8_t>{1, 0, 0, 1, 1, 1, 0, 0, 0}));
  const PaddedBatch left = pad(rows, {.multiple_of = 4, .pad_id = 0, .side = Side::left});
  EXPECT_EQ(left.length, 4);
  EXPECT_EQ(left.ids, (Ids{0, 0, 0, 5, 0, 6, 7, 8, 0, 0, 0, 0}));
  EXPECT_EQ(pad(rows, {.length = 2}).length, 3);
  EXPECT_EQ(pad(rows, {.length = 6}).length, 6);
  EXPECT_EQ(pad({}, {}).rows, 0);
}

TEST(Text, ThreadsShareOneTokenizer) {
  const auto tokenizer = Folder().with("vocab.txt", bert_vocabulary).load();
  const std::string text = "the film is un unfilm Film caf\u00e9 film, the.";
  const Ids wanted = tokenizer->encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) wrong[t] += tokenizer->encode(text) != wanted;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Text, LongWordsMergeByHeapAsShortOnesByScan) {
  const auto tokenizer =
      Folder()
          .with("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "abab": 3, "ba": 4},
      "merges": [["a", "b"], ["ab", "ab"], ["b", "a"]]}})")
          .load();
  for (const int pairs : {3, 8, 31, 32, 33, 100, 1000}) {
    std::string text;
    for (int i = 0; i < pairs; ++i) text += "ab";
    Ids wanted(static_cast<std::size_t>(pairs / 2), 3);
    if (pairs % 2 == 1) wanted.push_back(2);
    EXPECT_EQ(tokenizer->encode(text), wanted) << pairs;
  }
}

TEST(Text, WhatIsNotSupportedIsNamed) {
  const auto refusal = [](const std::string& more) { return Folder().with("tokenizer.json", sections(more)).refusal(); };
  EXPECT_EQ(refusal(""), "");
  EXPECT_NE(refusal(R"(, "normalizer": {"type": "Precompiled"})").find("the normalizer 'Precompiled' is not supported"),
            std::string::npos);
  EXPECT_NE(refusal(R"(, "pre_tokenizer": {"type": "UnicodeScripts"})").find("the pre-tokenizer 'UnicodeScripts'"),
            std::string::npos);
  EXPECT_NE(refusal(R"(, "decoder": {"type": "CTC"})").find("the decoder 'CTC'"), std::string::npos);
  EXPECT_NE(refusal(R"(, "post_processor": {"type": "Other"})").find("the post-processor 'Other'"), std::string::npos);
  EXPECT_NE(Folder()
                .with("tokenizer.json", R"({"model": {"type": "Unigram", "vocab": []}})")
                .refusal()
                .find("'Unigram' is not supported"),
            std::string::npos);
  EXPECT_NE(Folder()
                .with("tokenizer.json", R"({"model": {"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}})")
                .refusal()
                .find("dropout"),
            std::string::npos);
}

TEST(Text, MalformedFilesAreErrorsThatSayWhere) {
  EXPECT_NE(Folder().refusal().find("vocab.json with merges.txt"), std::string::npos);
  EXPECT_NE(Folder().with("tokenizer.json", "{").refusal().find("not valid JSON"), std::string::npos);
  EXPECT_NE(Folder().with("tokenizer.json", "[]").refusal().find("not a JSON object"), std::string::npos);
  EXPECT_NE(Folder().with("tokenizer.json", "{}").refusal().find("no 'model'"), std::string::npos);
  const auto bpe = [](const char* rest) {
    return Folder().with("tokenizer.json", std::string(R"({"model": {"type": "BPE", )") + rest + "}}").refusal();
  };
  EXPECT_NE(bpe(R"("vocab": {"a": -1}, "merges": [])").find("'a' has the id -1"), std::string::npos);
  EXPECT_NE(bpe(R"("vocab": {"a": 0}, "merges": ["a b"])").find("merge 0 has 'b'"), std::string::npos);
  EXPECT_NE(bpe(R"("vocab": {"a": 0}, "merges": ["a a a"])").find("not two tokens"), std::string::npos);
  EXPECT_NE(bpe(R"("vocab": {"a": 0}, "merges": [], "unk_token": "u")").find("'u' is not in the vocabulary"), std::string::npos);
  EXPECT_NE(Folder().with("vocab.txt", "a\nb\n").refusal().find("'[UNK]' is not in the vocabulary"), std::string::npos);
}

TEST(Text, KindsAreListedByName) {
  ASSERT_NE(find_entry(tokenizer_kinds(), "bpe"), nullptr);
  EXPECT_EQ(find_entry(tokenizer_kinds(), "wordpiece")->json_type, "WordPiece");
}

}  // namespace
}  // namespace eaq
