#include "eaq/container/container.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "eaq/base/json.h"

namespace eaq {
namespace {

const std::filesystem::path data = std::filesystem::path(EAQ_SOURCE_DIR) / "eaq/container/testdata";

/// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "eaq-container-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

template <class F>
std::string error_of(F&& f, ErrorKind kind = ErrorKind::input) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind);
    return e.what();
  }
  return "no error";
}

template <class T>
std::vector<T> values(const TensorView& view) {
  std::vector<T> out(static_cast<std::size_t>(view.size()));
  EXPECT_EQ(sizeof(T), size_of(view.dtype));
  if (!out.empty()) std::memcpy(out.data(), view.data, out.size() * sizeof(T));
  return out;
}

TEST(Containers, SafetensorsIsOneOfThem) { EXPECT_NE(find_entry(container_kinds(), "safetensors"), nullptr); }

TEST(Safetensors, FloatingPointOfTheReferenceLibraryHasItsValues) {
  const auto file = open_checkpoint(data / "all_types.safetensors");
  for (const char* name : {"f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2"}) {
    const TensorView view = file->tensor(name);
    EXPECT_EQ(view.shape, (Shape{2, 3})) << name;
    EXPECT_EQ(to_f32(view), (std::vector<float>{-1, -0.5, 0, 0.5, 1, 1.5})) << name;
  }
  EXPECT_EQ(file->tensor("f8_e4m3").dtype, DType::f8_e4m3);
  EXPECT_EQ(file->tensor("bf16").dtype, DType::bf16);
}

TEST(Safetensors, IntegersOfTheReferenceLibraryHaveTheirValues) {
  const auto file = open_checkpoint(data / "all_types.safetensors");
  EXPECT_EQ(values<std::int64_t>(file->tensor("i64")), (std::vector<std::int64_t>{-3, -2, -1, 0, 1, 2}));
  EXPECT_EQ(values<std::int32_t>(file->tensor("i32")), (std::vector<std::int32_t>{-3, -2, -1, 0, 1, 2}));
  EXPECT_EQ(values<std::int16_t>(file->tensor("i16")), (std::vector<std::int16_t>{-3, -2, -1, 0, 1, 2}));
  EXPECT_EQ(values<std::int8_t>(file->tensor("i8")), (std::vector<std::int8_t>{-3, -2, -1, 0, 1, 2}));
  EXPECT_EQ(values<std::uint64_t>(file->tensor("u64")), (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<std::uint32_t>(file->tensor("u32")), (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<std::uint16_t>(file->tensor("u16")), (std::vector<std::uint16_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<std::uint8_t>(file->tensor("u8")), (std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<std::uint8_t>(file->tensor("bool")), (std::vector<std::uint8_t>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(file->tensor("bool").dtype, DType::boolean);
}

TEST(Safetensors, ScalarsEmptyTensorsAndOddNamesOfTheReferenceLibraryAreRead) {
  const auto file = open_checkpoint(data / "all_types.safetensors");
  EXPECT_EQ(file->tensor("scalar").shape, Shape{});
  EXPECT_EQ(to_f32(file->tensor("scalar")), std::vector<float>{2.5f});
  EXPECT_EQ(file->tensor("empty").shape, (Shape{0, 7}));
  EXPECT_EQ(values<std::uint8_t>(file->tensor("")), (std::vector<std::uint8_t>{1, 2, 3}));
  EXPECT_EQ(values<std::int16_t>(file->tensor("Größe \"\\\n\x01/é")), std::vector<std::int16_t>{7});
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(file->names().size(), 19u);
  EXPECT_EQ(file->total_bytes(), 303u);
}

TEST(Safetensors, AFileWithoutTensorsIsAFile) { EXPECT_TRUE(open_checkpoint(data / "nothing.safetensors")->names().empty()); }

TEST(Safetensors, TypesThatEaqLacksAreAnErrorOnlyWhenAskedFor) {
  const auto file = open_checkpoint(data / "unknown_types.safetensors");
  EXPECT_EQ(to_f32(file->tensor("f32")), std::vector<float>{1.5f});
  EXPECT_TRUE(file->contains("f4"));
  const std::string path = (data / "unknown_types.safetensors").string();
  EXPECT_EQ(error_of([&] { file->tensor("f4"); }), path + ": 'f4' is stored as F4, which eaq does not read");
  EXPECT_EQ(error_of([&] { file->tensor("f8_e8m0"); }), path + ": 'f8_e8m0' is stored as F8_E8M0, which eaq does not read");
  EXPECT_EQ(error_of([&] { file->tensor("c64"); }), path + ": 'c64' is stored as C64, which eaq does not read");
}

TEST(Safetensors, AMissingTensorIsNamedWithItsFile) {
  const auto file = open_checkpoint(data / "all_types.safetensors");
  EXPECT_FALSE(file->contains("wte.weight"));
  EXPECT_EQ(error_of([&] { file->tensor("wte.weight"); }),
            (data / "all_types.safetensors").string() + ": has no tensor 'wte.weight' among its 19");
  EXPECT_NE(error_of([&] { file->release("wte.weight"); }), "no error");
}

TEST(Safetensors, WritesTheBytesThatTheReferenceLibraryWrites) {
  const Folder folder;
  for (const char* name : {"all_types.safetensors", "nothing.safetensors", "sharded/model-00001-of-00002.safetensors"}) {
    const auto file = open_checkpoint(data / name);
    std::vector<NamedTensor> tensors;
    for (const std::string& tensor : file->names()) tensors.push_back({tensor, file->tensor(tensor)});
    write_safetensors(folder / "copy.safetensors", tensors, file->metadata());
    EXPECT_EQ(read_text(folder / "copy.safetensors"), read_text(data / name)) << name;
  }
}

TEST(Safetensors, RefusesNamesThatNoFileCanHold) {
  const Folder folder;
  const Tensor one(Shape{1}, std::span<const float>(std::vector<float>{1}));
  const auto write = [&](std::vector<std::string> names, std::map<std::string, std::string> metadata = {}) {
    std::vector<NamedTensor> tensors;
    for (auto& name : names) tensors.push_back({name, one.view()});
    return error_of([&] { write_safetensors(folder / "x.safetensors", tensors, metadata); });
  };
  EXPECT_NE(write({"a", "b", "a"}).find("two tensors would be called 'a'"), std::string::npos);
  EXPECT_NE(write({"__metadata__"}).find("two tensors would be called '__metadata__'"), std::string::npos);
  EXPECT_NE(write({"a\xff"}).find("'a\\xff' cannot be written, it is not UTF-8"), std::string::npos);
  EXPECT_NE(write({"a"}, {{"k", "\xff"}}).find("not UTF-8"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Safetensors, ReplacesAFileThatIsStillMapped) {
  const Folder folder;
  const Tensor one(Shape{1}, std::span<const float>(std::vector<float>{1})),
      two(Shape{1}, std::span<const float>(std::vector<float>{2}));
  const NamedTensor old{"t", one.view()}, fresh{"t", two.view()};
  write_safetensors(folder / "m.safetensors", {&old, 1});
  const auto before = open_checkpoint(folder / "m.safetensors");
  write_safetensors(folder / "m.safetensors", {&fresh, 1});
  EXPECT_EQ(to_f32(before->tensor("t"))[0], 1);
  EXPECT_EQ(to_f32(open_checkpoint(folder / "m.safetensors")->tensor("t"))[0], 2);
}

TEST(Safetensors, TensorsThatBeginBetweenTheirElementsAreAlignedForTheReader) {
  const Folder folder;
  // As old writers left them: sorted by name, the header of any length.
  const std::string json =
      R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}})";
  const std::uint64_t length = json.size();
  const float b[2] = {1.25f, -2};
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  bytes += json + "abc" + std::string(reinterpret_cast<const char*>(b), sizeof b);
  write_text(folder / "m.safetensors", bytes);
  const auto file = open_checkpoint(folder / "m.safetensors");
  const TensorView view = file->tensor("b");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % alignof(float), 0u);
  EXPECT_EQ(view.as<float>()[0], 1.25f);
  EXPECT_EQ(file->tensor("b").data, view.data);
  file->release("b");
  EXPECT_EQ(to_f32(file->tensor("b")), (std::vector<float>{1.25f, -2}));
}

// Resident bytes of this process that are mapped from files, in kB.
long resident_file_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssFile:")) return std::strtol(line.c_str() + 8, nullptr, 10);
  return -1;
}

TEST(Safetensors, ReleaseAndHashKeepNoPages) {
  const Folder folder;
  constexpr std::int64_t count = 4 << 20;
  const Tensor big(Shape{count}, std::span<const float>(std::vector<float>(count, 3)));
  const NamedTensor tensor{"big", big.view()};
  write_safetensors(folder / "m.safetensors", {&tensor, 1});
  const auto file = open_checkpoint(folder / "m.safetensors");
  sha256("");  // the library's own pages are no pages of the checkpoint
  const long before = resident_file_kb();
  ASSERT_GE(before, 0);
  double sum = 0;
  for (const float v : file->tensor("big").as<float>()) sum += v;
  EXPECT_EQ(sum, 3.0 * count);
  EXPECT_GT(resident_file_kb() - before, 15'000);
  file->release("big");
  EXPECT_LT(resident_file_kb() - before, 4'000);
  EXPECT_EQ(file->hash(), "sha256:" + sha256(read_text(folder / "m.safetensors")));
  EXPECT_LT(resident_file_kb() - before, 4'000);
  EXPECT_EQ(file->tensor("big").as<float>()[count - 1], 3);
}

TEST(Safetensors, SeveralThreadsMayRead) {
  const auto file = open_checkpoint(data / "all_types.safetensors");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        wrong[t] += to_f32(file->tensor("f32"))[5] != 1.5f;
        file->release("f32");
        wrong[t] += file->hash().size() != 71;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

// The index of testdata/sharded with one line changed, beside its shards.
std::string sharded_error(const std::function<void(Json&)>& change) {
  const Folder folder;
  std::filesystem::copy(data / "sharded", folder.path(), std::filesystem::copy_options::recursive);
  Json index = read_json(folder / "model.safetensors.index.json");
  change(index);
  write_text(folder / "model.safetensors.index.json", index.dump());
  const std::string message = error_of([&] { open_checkpoint(folder.path()); });
  const std::string prefix = (folder / "").string();
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

TEST(Shards, ReadAsOneCheckpoint) {
  const auto model = open_checkpoint(data / "sharded");
  EXPECT_EQ(model->names(), (std::vector<std::string>{"layer.0.weight", "layer.1.weight", "layer.2.weight"}));
  EXPECT_EQ(to_f32(model->tensor("layer.2.weight"))[15], 215);
  model->release("layer.2.weight");
  EXPECT_EQ(to_f32(model->tensor("layer.0.weight"))[15], 15);
  EXPECT_EQ(model->total_bytes(), 192u);
  EXPECT_EQ(model->files().size(), 3u);
  EXPECT_EQ(model->metadata().at("note"), "three layers");
  EXPECT_EQ(model->metadata().at("total_size"), "192");
  EXPECT_NE(error_of([&] { model->tensor("layer.3.weight"); }).find("has no tensor 'layer.3.weight' among its 3"),
            std::string::npos);
}

TEST(Shards, HashIsThatOfTheLinesOfSha256sum) {
  std::string lines;
  for (const char* name :
       {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"})
    lines += sha256_file(data / "sharded" / name) + "  " + name + "\n";
  EXPECT_EQ(open_checkpoint(data / "sharded")->hash(), "sha256:" + sha256(lines));
}

TEST(Shards, TheIndexMayBeNamedDirectly) {
  EXPECT_EQ(open_checkpoint(data / "sharded/model.safetensors.index.json")->names().size(), 3u);
}

TEST(Shards, ATensorMustBeInItsShard) {
  EXPECT_EQ(
      sharded_error([](Json& j) { j["weight_map"]["layer.2.weight"] = "model-00001-of-00002.safetensors"; }),
      "model.safetensors.index.json: 'layer.2.weight' is not in 'model-00001-of-00002.safetensors', where the index has it");
  EXPECT_EQ(sharded_error([](Json& j) { j["weight_map"]["x"] = "model-00001-of-00002.safetensors"; }),
            "model.safetensors.index.json: 'x' is not in 'model-00001-of-00002.safetensors', where the index has it");
  EXPECT_EQ(sharded_error([](Json& j) { j["weight_map"]["x"] = "model-00003-of-00002.safetensors"; }),
            "model.safetensors.index.json: 'x' is in 'model-00003-of-00002.safetensors', which is not there");
}

TEST(Shards, AShardStaysInTheFolder) {
  for (const char* shard : {"../model-00001-of-00002.safetensors", "/etc/passwd", "a/../../b.safetensors", "", ".", "a/"})
    EXPECT_EQ(sharded_error([&](Json& j) { j["weight_map"]["layer.0.weight"] = shard; }),
              "model.safetensors.index.json: 'layer.0.weight' is in '" + std::string(shard) + "', which leaves the folder");
}

TEST(Shards, TheIndexMustMapNamesToFiles) {
  EXPECT_EQ(sharded_error([](Json& j) { j.erase("weight_map"); }), "model.safetensors.index.json: has no object 'weight_map'");
  EXPECT_EQ(sharded_error([](Json& j) { j = Json::array(); }), "model.safetensors.index.json: has no object 'weight_map'");
  EXPECT_EQ(sharded_error([](Json& j) { j["weight_map"] = Json::object(); }),
            "model.safetensors.index.json: its 'weight_map' names no tensor");
  EXPECT_EQ(sharded_error([](Json& j) { j["weight_map"]["layer.0.weight"] = 1; }),
            "model.safetensors.index.json: 'layer.0.weight' must name a shard file");
}

TEST(Shards, ATensorStandsInOneShardOnly) {
  const Folder folder;
  std::filesystem::copy(data / "sharded", folder.path(), std::filesystem::copy_options::recursive);
  std::filesystem::copy_file(folder / "model-00001-of-00002.safetensors", folder / "again.safetensors");
  Json index = read_json(folder / "model.safetensors.index.json");
  index["weight_map"]["layer.1.weight"] = "again.safetensors";
  write_text(folder / "model.safetensors.index.json", index.dump());
  EXPECT_NE(error_of([&] { open_checkpoint(folder.path()); }).find("stands in two shards"), std::string::npos);
}

TEST(Shards, ABrokenShardIsNamed) {
  const Folder folder;
  std::filesystem::copy(data / "sharded", folder.path(), std::filesystem::copy_options::recursive);
  std::filesystem::resize_file(folder / "model-00002-of-00002.safetensors", 170);
  EXPECT_EQ(error_of([&] { open_checkpoint(folder.path()); }),
            (folder / "model-00002-of-00002.safetensors").string() + ": 'layer.2.weight' ends at byte 176, the file has 170");
}

TEST(OpenCheckpoint, PrefersTheSingleFile) {
  const Folder folder;
  std::filesystem::copy(data / "sharded", folder.path(), std::filesystem::copy_options::recursive);
  std::filesystem::copy_file(data / "all_types.safetensors", folder / "model.safetensors");
  EXPECT_TRUE(open_checkpoint(folder.path())->contains("f32"));
}

TEST(OpenCheckpoint, SaysWhatToDoAboutAPickle) {
  const Folder folder;
  write_text(folder / "pytorch_model.bin", "PK");
  for (const auto& path : {folder.path(), folder / "pytorch_model.bin"}) {
    const std::string message = error_of([&] { open_checkpoint(path); });
    EXPECT_NE(message.find("pytorch_model.bin: is a pickle"), std::string::npos) << message;
    EXPECT_NE(message.find("save_pretrained(\"" + folder.path().string() + "\")"), std::string::npos) << message;
  }
}

TEST(OpenCheckpoint, SaysWhatWasLookedFor) {
  const Folder folder;
  EXPECT_EQ(error_of([&] { open_checkpoint(folder / "x"); }), (folder / "x").string() + ": no such file or folder");
  EXPECT_EQ(
      error_of([&] { open_checkpoint(folder.path()); }),
      folder.path().string() + ": holds no checkpoint: there is no model.safetensors or model.safetensors.index.json in it");
  write_text(folder / "x.gguf", "GGUF");
  EXPECT_NE(error_of([&] { open_checkpoint(folder / "x.gguf"); }).find("eaq reads safetensors"), std::string::npos);
}

TEST(Safetensors, TheReferenceLibraryReadsWhatIsWritten) {
  const char* chosen = std::getenv("EAQ_PYTHON");
  const std::string python = chosen != nullptr ? chosen : "python3";
  if (std::system((python + " -c 'import safetensors' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << python << " has no safetensors (EAQ_PYTHON names another Python)";
  const Folder folder;
  const auto file = open_checkpoint(data / "all_types.safetensors");
  std::vector<NamedTensor> tensors;
  for (const std::string& name : file->names()) tensors.push_back({name + "+", file->tensor(name)});
  write_safetensors(folder / "m.safetensors", tensors, {{"by", "eaq"}, {"\"", "\n\x7f\xc3\xa9"}});
  write_text(folder / "check.py",
             "import json, sys, safetensors\n"
             "found = safetensors.deserialize(open(sys.argv[1], 'rb').read())\n"
             "rows = {name: [t['dtype'], t['shape'], bytes(t['data']).hex()] for name, t in found}\n"
             "json.dump(rows, open(sys.argv[2], 'w'))\n");
  const std::string command =
      python + " " + (folder / "check.py").string() + " " + (folder / "m.safetensors").string() + " " + (folder / "out").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Json rows = read_json(folder / "out");
  ASSERT_EQ(rows.size(), tensors.size());
  for (const NamedTensor& t : tensors) {
    const Json& row = rows.at(t.name);
    std::string hex;
    for (const std::byte b : t.view.bytes()) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(b));
      hex += two;
    }
    EXPECT_EQ(row[0].get<std::string>(), name_of(t.view.dtype));
    EXPECT_EQ(row[1].get<Shape>(), t.view.shape);
    EXPECT_EQ(row[2].get<std::string>(), hex) << t.name;
  }
}

}  // namespace
}  // namespace eaq
