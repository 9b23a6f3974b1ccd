// Ids and decoded texts against Hugging Face `tokenizers`; the references are made by scripts/make_tokenizer_references.py.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "eaq/base/json.h"
#include "eaq/text/text.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;

const fs::path source = EAQ_SOURCE_DIR, testdata = source / "eaq" / "text" / "testdata";

fs::path shared() {
  const char* given = std::getenv("EAQ_SHARED");
  return given != nullptr ? fs::path(given) : source / ".." / "shared";
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(at, begin)) != std::string::npos; begin = end + 1)
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string> torture() { return split(read_text(testdata / "torture.txt"), '\n'); }

/// What one reference set is made of; empty where its file is not here.
std::vector<std::string> texts_of(const std::string& set, const fs::path& data) {
  if (set == "torture") return torture();
  const bool wiki = set.starts_with("wikitext2");
  const fs::path file =
      wiki ? data / "wikitext2" / "wiki.test.raw" : data / "sst2" / (set == "sst2 dev" ? "dev.tsv" : "train.tsv");
  if (!fs::exists(file)) return {};
  if (set == "wikitext2 whole") return {read_text(file)};
  auto rows = split(read_text(file), '\n');
  if (wiki) return rows;
  std::vector<std::string> sentences;
  for (std::size_t i = 1; i < rows.size(); ++i)
    if (!rows[i].empty()) sentences.push_back(split(rows[i], '\t').at(1));
  return sentences;
}

void append(std::string& to, const void* data, std::size_t bytes) { to.append(static_cast<const char*>(data), bytes); }

Json hashes(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::string ids, decoded, plain;
  const auto add_text = [](std::string& to, const std::string& text) {
    const auto bytes = static_cast<std::int32_t>(text.size());
    append(to, &bytes, sizeof bytes);
    to += text;
  };
  for (const std::string& text : texts) {
    const auto row = tokenizer.encode(text);
    const auto count = static_cast<std::int32_t>(row.size());
    append(ids, &count, sizeof count);
    append(ids, row.data(), row.size() * sizeof(std::int32_t));
    add_text(decoded, tokenizer.decode(row));
    add_text(plain, tokenizer.decode(row, true));
  }
  return {
      {"texts", texts.size()}, {"ids", sha256(ids)}, {"decoded", sha256(decoded)}, {"decoded_without_special", sha256(plain)}};
}

/// Compares every set of `models` whose files are here; returns how many that were.
int compare(const Json& models, const fs::path& model_root, const fs::path& data, bool from_tokenizer_json = true) {
  int compared = 0;
  for (const auto& [model, sets] : models.items()) {
    fs::path dir = model_root / model;
    if (!from_tokenizer_json) {
      if (!fs::exists(dir / "vocab.txt") && !fs::exists(dir / "vocab.json")) continue;
      dir = fs::path(testing::TempDir()) / ("eaq-vocabulary-" + std::to_string(::getpid()) + "-" + model);
      fs::create_directories(dir);
      for (const char* file : {"vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json"})
        if (fs::exists(model_root / model / file))
          fs::copy_file(model_root / model / file, dir / file, fs::copy_options::overwrite_existing);
    }
    if (!fs::exists(dir)) continue;
    const auto tokenizer = load_tokenizer(dir);
    for (const auto& [set, expected] : sets.items()) {
      const auto texts = texts_of(set, data);
      if (texts.empty()) continue;
      EXPECT_EQ(hashes(*tokenizer, texts), expected) << model << ", " << set;
      ++compared;
    }
  }
  return compared;
}

TEST(Tokenizers, IdsOfTheHardTextsAreTheLibrarys) {
  const auto texts = torture();
  int models = 0;
  for (const auto& entry : fs::directory_iterator(testdata)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("torture.") || !name.ends_with(".ids")) continue;
    const auto tokenizer = load_tokenizer(source / "models" / name.substr(8, name.size() - 12));
    const auto rows = split(read_text(entry.path()), '\n');
    ASSERT_EQ(rows.size(), texts.size() + 1);  // the last line ends, too
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::string ids;
      for (const std::int32_t id : tokenizer->encode(texts[i])) ids += (ids.empty() ? "" : " ") + std::to_string(id);
      EXPECT_EQ(ids, rows[i]) << name << ", line " << i + 1 << ": " << printable(texts[i]);
    }
    ++models;
  }
  EXPECT_GE(models, 1);
}

TEST(Tokenizers, EmbeddedModelsReadTheDataSetsAsTheLibraryDoes) {
  const Json references = read_json(testdata / "references.json");
  EXPECT_GE(compare(references["models"], source / "models", source / "data"), 1);
}

TEST(Tokenizers, FullSizeModelsReadTheDataSetsAsTheLibraryDoes) {
  if (!fs::exists(shared() / "models")) GTEST_SKIP() << "the full-size models are not beside this checkout (EAQ_SHARED)";
  const Json references = read_json(testdata / "references.json");
  EXPECT_GE(compare(references["shared"], shared() / "models", shared() / "data"), 1);
}

TEST(Tokenizers, VocabularyFilesAloneGiveTheIdsOfTokenizerJson) {
  const Json references = read_json(testdata / "references.json");
  EXPECT_GE(compare(references["models"], source / "models", source / "data", false), 1);
}

TEST(Tokenizers, FullSizeVocabularyFilesAloneGiveTheIdsOfTokenizerJson) {
  if (!fs::exists(shared() / "models")) GTEST_SKIP() << "the full-size models are not beside this checkout (EAQ_SHARED)";
  const Json references = read_json(testdata / "references.json");
  EXPECT_GE(compare(references["shared"], shared() / "models", shared() / "data", false), 1);
}

TEST(Tokenizers, EverySectionDoesWhatTheLibrarysDoes) {
  const Json file = read_json(testdata / "variants.json");
  const auto texts = torture();
  for (const Json& variant : file["variants"]) {
    Json whole = file["base"];
    for (const auto& [key, value] : variant.items())
      if (whole.contains(key)) whole[key] = value;
    whole["model"] = file["models"][variant["model"].get<std::string>()];
    if (variant.contains("model_options"))
      for (const auto& [key, value] : variant["model_options"].items()) whole["model"][key] = value;
    EXPECT_EQ(hashes(*parse_tokenizer(whole.dump(), "variant"), texts), variant["expected"]) << variant["name"];
  }
}

}  // namespace
}  // namespace eaq
