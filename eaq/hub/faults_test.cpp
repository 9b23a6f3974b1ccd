// What goes wrong on a hub's side, and what is left then.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "eaq/hub/testing.h"
#include "eaq/hub/transfer.h"

namespace eaq::hub {
namespace {

namespace fs = std::filesystem;

// What a fault does: the kind of error, a part of its text, and nothing left behind.
struct FaultCase {
  std::string fault;
  ErrorKind kind;
  std::string says;
};
void PrintTo(const FaultCase& fault, std::ostream* out) { *out << fault.fault; }
class HubFault : public Hub, public testing::WithParamInterface<FaultCase> {};

TEST_P(HubFault, IsAClearErrorAndLeavesNothing) {
  serve({GetParam().fault});
  std::string message;
  EXPECT_EQ(kind_of([&] { fetch(); }, &message), GetParam().kind) << message;
  EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
  for (const std::string& file : left()) {
    EXPECT_EQ(file.find(".incomplete"), std::string::npos) << file;
    // Whole files of the right hash may stay; a snapshot may not appear.
    EXPECT_TRUE(file.starts_with("blobs/")) << file;
    EXPECT_EQ(hash_of_file(repository() / file, fs::path(file).filename().string()), fs::path(file).filename());
  }
  EXPECT_EQ(kind_of([&] { cached_snapshot({"me/model"}, options()); }), ErrorKind::unavailable);
}

INSTANTIATE_TEST_SUITE_P(Every, HubFault,
                         testing::Values(FaultCase{"gated=1", ErrorKind::unavailable, "its owner has to let you in"},
                                         FaultCase{"private=1", ErrorKind::input, "no such repository, or it is private"},
                                         FaultCase{"damage=model.safetensors", ErrorKind::input, "its SHA-256 is"},
                                         FaultCase{"damage=config.json", ErrorKind::input, "its git hash is"},
                                         FaultCase{"longer=model.safetensors", ErrorKind::input, "sends more than the"},
                                         FaultCase{"shorter=model.safetensors", ErrorKind::input, "sends fewer than the"},
                                         FaultCase{"longer=tokenizer.json", ErrorKind::input, "sends more than the"},
                                         FaultCase{"vast=model.safetensors", ErrorKind::input, "no room"},
                                         FaultCase{"vast=tokenizer.json", ErrorKind::input, "more than such a file may have"},
                                         FaultCase{"no-hash=config.json", ErrorKind::input, "names no hash for it"},
                                         FaultCase{"escape=../../../etc/cron.d/x", ErrorKind::input,
                                                   "leads out of the repository"},
                                         FaultCase{"commit=../../..", ErrorKind::input, "which is no commit"},
                                         FaultCase{"listing=<html>", ErrorKind::input, "/api/models/me/model/revision/main"},
                                         FaultCase{"loop=1", ErrorKind::unavailable, "redirects more than 10 times"},
                                         FaultCase{"to=file:///etc/passwd", ErrorKind::unavailable, "where eaq does not follow"}),
                         [](const testing::TestParamInfo<FaultCase>& each) {
                           std::string name = each.param.fault;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; },
                               '_');
                           return name;
                         });

TEST_F(Hub, PartsThatWereNotAskedForAreNotPutTogether) {
  serve({"drop=200000", "drops=9", "wrong-range=1"});
  EXPECT_NE(error_of([&] { fetch(); }).find("sends other parts of it than"), std::string::npos);
  EXPECT_FALSE(fs::exists(repository() / "blobs" / (sha256(weights_) + ".incomplete")));
}

TEST_F(Hub, APartThatTheServerDoesNotKnowIsBegunAnew) {
  serve({"drop=200000", "drops=1", "no-such-range=1"});
  fetch();
  EXPECT_EQ(read_text(repository() / "blobs" / sha256(weights_)), weights_);
}

TEST_F(Hub, ACommitThatWasAskedForIsTheOneThatComes) {
  serve();
  const std::string commit = fetch().commit;
  fs::remove_all(folder_ / "cache");
  serve({"commit=" + std::string(40, 'b')});
  const std::string message = error_of([&] { fetch_snapshot({"me/model", commit}, options()); });
  EXPECT_NE(message.find("answers with commit bbbb"), std::string::npos) << message;
}

TEST_F(Hub, WhatIsThereIsNotWrittenAgain) {
  serve();
  const HubSnapshot snapshot = fetch();
  const auto inode = [&] {
    struct stat info {};
    return ::lstat((snapshot.folder / "model.safetensors").c_str(), &info) == 0 ? info.st_ino : 0;
  };
  const auto before = inode();
  fetch();
  EXPECT_EQ(inode(), before);  // so that a cache of somebody else, whole and read-only, serves
}

TEST_F(Hub, FilesOfTheSameContentAreAllThere) {
  put(folder_ / "root" / "me" / "model" / "added_tokens.json", "{}");
  put(folder_ / "root" / "me" / "model" / "special_tokens_map.json", "{}");
  serve();
  const HubSnapshot in_cache = fetch(), in_folder = fetch([&](HubOptions&options) {
                                          options.folder = folder_ / "out";
                                          options.cache.clear();
                                        });
  for (const HubSnapshot& snapshot : {in_cache, in_folder})
    for (const char* name : {"added_tokens.json", "special_tokens_map.json", "tokenizer.json"})
      EXPECT_EQ(read_text(snapshot.folder / name), "{}") << snapshot.folder << name;
}

TEST_F(Hub, AFolderGoesOnFromWhatAnEarlierCallLeft) {
  serve({"drop=1000", "drops=5"});
  const auto to_folder = [&](HubOptions& options) { options.folder = folder_ / "out"; };
  error_of([&] { fetch(to_folder); });
  EXPECT_TRUE(fs::exists(folder_ / "out" / ".eaq-fetch" / "model.safetensors.incomplete"));
  EXPECT_FALSE(fs::exists(folder_ / "out" / "config.json"));
  const HubSnapshot snapshot = fetch(to_folder);
  for (const HubFile& file : snapshot.files) EXPECT_EQ(file.fetched, file.name == "model.safetensors") << file.name;
  EXPECT_EQ(read_text(folder_ / "out" / "model.safetensors"), weights_);
  EXPECT_FALSE(fs::exists(folder_ / "out" / ".eaq-fetch"));
}

TEST_F(Hub, AFolderForWhichNothingCameIsAsItWas) {
  serve({"damage=model.safetensors"});
  error_of([&] { fetch([&](HubOptions& options) { options.folder = folder_ / "out"; }); });
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(Hub, AMissingRepositoryRevisionOrTokenIsNamed) {
  serve();
  const auto message = [&](const HubName& name, const std::string& token) {
    HubOptions chosen = options();
    chosen.token = token;
    return error_of([&] { fetch_snapshot(name, chosen); });
  };
  EXPECT_NE(message({"me/nothing"}, "").find("has no such repository, or it is private"), std::string::npos);
  EXPECT_NE(message({"me/nothing"}, "hf_let_me_in").find("the token may not read it"), std::string::npos);
  EXPECT_NE(message({"me/model", "v9"}, "").find("has no revision 'v9'"), std::string::npos);
  EXPECT_NE(message({"me/model"}, "hf_wrong").find("does not accept the token"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "cache"));  // nothing was made for any of them
}

TEST_F(Hub, ARepositoryWithoutSafetensorsSaysWhatThereIs) {
  put(folder_ / "root" / "me" / "old" / "config.json", config);
  put(folder_ / "root" / "me" / "old" / "pytorch_model.bin", "pickle");
  put(folder_ / "root" / "me" / "data" / "train.csv", "1");
  serve();
  EXPECT_NE(error_of([&] { fetch_snapshot({"me/old"}, options()); }).find("only a pickle (pytorch_model.bin)"),
            std::string::npos);
  EXPECT_NE(error_of([&] { fetch_snapshot({"me/data"}, options()); }).find("has no config.json"), std::string::npos);
  EXPECT_EQ(requests("cdn", "GET"), 0);
}

TEST_F(Hub, AConfigThatIsRefusedCostsNoWeights) {
  serve();
  const std::string message = error_of([&] {
    fetch([](HubOptions& options) {
      options.judge = [](const std::string& text, const std::string& name) {
        EXPECT_EQ(text, config);
        throw Error(ErrorKind::input, name + ": not for me");
      };
    });
  });
  EXPECT_EQ(message, "hf:me/model: config.json: not for me");
  EXPECT_EQ(requests("cdn", "GET"), 0);
}

TEST_F(Hub, AnIndexThatNamesAForeignShardIsRefused) {
  for (const auto& [name, shard] :
       std::map<std::string, std::string>{{"escaping", "../../x.safetensors"}, {"missing", "m-9.safetensors"}}) {
    put(folder_ / "root" / "me" / name / "config.json", config);
    put(folder_ / "root" / "me" / name / "model.safetensors.index.json", R"({"weight_map": {"a": ")" + shard + R"("}})");
  }
  serve();
  EXPECT_NE(error_of([&] { fetch_snapshot({"me/escaping"}, options()); }).find("which leaves the folder"), std::string::npos);
  EXPECT_NE(error_of([&] { fetch_snapshot({"me/missing"}, options()); }).find("which the repository does not have"),
            std::string::npos);
}

}  // namespace
}  // namespace eaq::hub
