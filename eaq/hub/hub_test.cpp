// Fetching, from a hub of the test's own: whole, again, broken off, and with every fault.
#include "eaq/hub/hub.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "eaq/hub/cache.h"
#include "eaq/hub/testing.h"
#include "eaq/hub/transfer.h"

namespace eaq::hub {
namespace {

namespace fs = std::filesystem;

const std::string config = R"({"model_type": "gpt2"})";

// A repository with a small file, a large one and one that eaq does not read.
class Hub : public testing::Test {
 protected:
  Hub() {
    const fs::path model = folder_ / "root" / "me" / "model";
    put(model / "config.json", config);
    put(model / "tokenizer.json", "{}");
    put(model / "README.md", "Words.");
    put(model / "onnx" / "model.onnx", "not wanted");
    put(model / "model.safetensors", weights_);
  }

  void serve(const std::vector<std::string>& faults = {}) { hub_.emplace(folder_ / "root", faults); }

  HubOptions options() const {
    HubOptions options;
    options.endpoint = hub_ ? hub_->endpoint : "http://127.0.0.1:1";
    options.cache = folder_ / "cache";
    options.pause = Seconds(0.001);
    return options;
  }

  HubSnapshot fetch(const std::function<void(HubOptions&)>& change = {}) const {
    HubOptions chosen = options();
    if (change) change(chosen);
    return fetch_snapshot({"me/model"}, chosen);
  }

  fs::path repository() const { return folder_ / "cache" / "models--me--model"; }

  // What lies in the repository's folder of the cache, but for folders.
  std::vector<std::string> left() const {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(repository(), error))
      if (!entry.is_directory() || entry.is_symlink())
        files.push_back(fs::relative(entry.path().parent_path(), repository()) / entry.path().filename());
    std::sort(files.begin(), files.end());
    return files;
  }

  int requests(const std::string& host, const std::string& method) const {
    int count = 0;
    for (const auto& request : hub_->requests()) count += request.host == host && request.method == method ? 1 : 0;
    return count;
  }

  TestFolder folder_;
  std::string weights_ = [] {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += std::to_string(i * 7919 % 100'003);
    return text;
  }();
  std::optional<TestHub> hub_;
};

TEST_F(Hub, ASnapshotHasTheFilesThatEaqReadsInTheHubsOwnLayout) {
  serve();
  const HubSnapshot snapshot = fetch();
  std::vector<std::string> names;
  for (const HubFile& file : snapshot.files) {
    names.push_back(file.name);
    EXPECT_TRUE(file.fetched);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"config.json", "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(snapshot.folder, repository() / "snapshots" / snapshot.commit);
  EXPECT_EQ(read_text(snapshot.folder / "model.safetensors"), weights_);
  EXPECT_EQ(fs::read_symlink(snapshot.folder / "model.safetensors"), fs::path("../../blobs") / sha256(weights_));
  EXPECT_EQ(fs::read_symlink(snapshot.folder / "config.json").parent_path(), "../../blobs");
  EXPECT_EQ(read_text(repository() / "refs" / "main"), snapshot.commit);
  EXPECT_TRUE(fs::exists(folder_ / "cache" / "CACHEDIR.TAG"));
}

TEST_F(Hub, WhatIsThereIsNotFetchedAgain) {
  serve();
  fetch();
  const int before = requests("cdn", "GET");
  for (const HubFile& file : fetch().files) EXPECT_FALSE(file.fetched);
  EXPECT_EQ(requests("cdn", "GET"), before);
}

TEST_F(Hub, ACommitThatIsThereNeedsNobody) {
  serve();
  const std::string commit = fetch().commit;
  hub_.reset();
  const HubSnapshot again = fetch_snapshot({"me/model", commit}, options());
  EXPECT_TRUE(again.from_cache);
  EXPECT_EQ(again.files.size(), 3U);
}

TEST_F(Hub, ATagIsAnotherRefOfTheSameSnapshot) {
  serve();
  fetch();
  const HubSnapshot tagged = fetch_snapshot({"me/model", "v1"}, options());
  EXPECT_EQ(read_text(repository() / "refs" / "v1"), tagged.commit);
  EXPECT_FALSE(std::any_of(tagged.files.begin(), tagged.files.end(), [](const HubFile& file) { return file.fetched; }));
}

TEST_F(Hub, ARevisionMayHaveSlashes) {
  serve();
  fetch_snapshot({"me/model", "refs/pr/1"}, options());
  EXPECT_TRUE(fs::is_regular_file(repository() / "refs" / "refs" / "pr" / "1"));
  EXPECT_EQ(cached_snapshot({"me/model", "refs/pr/1"}, options()).files.size(), 3U);
}

TEST_F(Hub, TheTokenGoesToTheEndpointAlone) {
  serve({"private=1"});
  fetch([](HubOptions& options) { options.token = "hf_let_me_in"; });
  int to_hub = 0;
  for (const auto& request : hub_->requests()) {
    EXPECT_EQ(request.token, request.host == "hub" ? "hf_let_me_in" : "") << request.path;
    to_hub += request.host == "hub" ? 1 : 0;
  }
  EXPECT_GT(to_hub, 0);
}

TEST_F(Hub, ABrokenConnectionIsTakenUpWhereItBroke) {
  serve({"drop=200000"});
  fetch();
  EXPECT_EQ(read_text(cached_snapshot({"me/model"}, options()).folder / "model.safetensors"), weights_);
  std::vector<std::string> ranges;
  for (const auto& request : hub_->requests())
    if (request.host == "cdn" && request.method == "GET") ranges.push_back(request.range);
  EXPECT_EQ(ranges, (std::vector<std::string>{"", "bytes=200000-", "bytes=400000-"}));
}

TEST_F(Hub, AServerThatIgnoresRangesSendsAllAgain) {
  serve({"drop=200000", "drops=1", "no-range=1"});
  fetch();
  EXPECT_EQ(read_text(repository() / "blobs" / sha256(weights_)), weights_);
}

TEST_F(Hub, ALaterCallGoesOnWithWhatAnEarlierOneLeft) {
  serve({"drop=1000", "drops=5"});
  const std::string message = error_of([&] { fetch(); });
  EXPECT_NE(message.find("are kept: the next call goes on from there"), std::string::npos) << message;
  const fs::path part = repository() / "blobs" / (sha256(weights_) + ".incomplete");
  ASSERT_TRUE(fs::exists(part));
  const auto kept = fs::file_size(part);
  EXPECT_GT(kept, 0U);
  fetch();
  bool resumed = false;
  for (const auto& request : hub_->requests()) resumed |= request.range == "bytes=" + std::to_string(kept) + "-";
  EXPECT_TRUE(resumed);
  EXPECT_FALSE(fs::exists(part));
  EXPECT_EQ(read_text(repository() / "blobs" / sha256(weights_)), weights_);
}

TEST_F(Hub, AnEarlierPartOfSomethingElseIsThrownAway) {
  serve();
  put(repository() / "blobs" / (sha256(weights_) + ".incomplete"), "of another file");
  fetch();
  EXPECT_EQ(read_text(repository() / "blobs" / sha256(weights_)), weights_);
  put(repository() / "blobs" / (sha256(weights_) + ".incomplete"), weights_ + "longer than the file");
  fs::remove(repository() / "blobs" / sha256(weights_));
  fetch();
  EXPECT_EQ(read_text(repository() / "blobs" / sha256(weights_)), weights_);
}

TEST_F(Hub, ABusyServerIsAskedAgainAsItSays) {
  serve({"busy=3", "retry-after=0", "limited=2"});
  EXPECT_EQ(fetch([](HubOptions& options) { options.connections = 1; }).files.size(), 3U);
}

TEST_F(Hub, AServerThatAsksForTooMuchPatienceIsNotWaitedFor) {
  serve({"busy=99", "retry-after=86400"});
  std::string message;
  EXPECT_EQ(kind_of([&] { fetch(); }, &message), ErrorKind::unavailable);
  EXPECT_NE(message.find("answers with status 503"), std::string::npos) << message;
}

TEST_F(Hub, ASilentServerIsTakenForBroken) {
  serve({"drop=300000", "drops=1", "stall=5"});
  const Seconds begun = monotonic_clock().now();
  fetch([](HubOptions& options) { options.stall = Seconds(1); });
  EXPECT_LT((monotonic_clock().now() - begun).value(), 4.5);
}

TEST_F(Hub, SeveralFilesComeAtOnce) {
  const fs::path sharded = folder_ / "root" / "me" / "sharded";
  put(sharded / "config.json", config);
  put(sharded / "model.safetensors.index.json", R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}})");
  put(sharded / "m-1.safetensors", weights_);
  put(sharded / "m-2.safetensors", weights_ + "2");
  put(sharded / "m-3.safetensors", "of nobody");
  serve();
  const HubSnapshot snapshot = fetch_snapshot({"me/sharded"}, options());
  EXPECT_TRUE(fs::exists(snapshot.folder / "m-1.safetensors"));
  EXPECT_TRUE(fs::exists(snapshot.folder / "m-2.safetensors"));
  EXPECT_FALSE(fs::exists(snapshot.folder / "m-3.safetensors"));
  EXPECT_EQ(cached_snapshot({"me/sharded"}, options()).files.size(), 4U);
  fs::remove(snapshot.folder / "m-2.safetensors");
  EXPECT_NE(error_of([&] { cached_snapshot({"me/sharded"}, options()); }).find("'m-2.safetensors' is missing"),
            std::string::npos);
}

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
  for (const auto& [name, shard] : std::map<std::string, std::string>{{"escaping", "../../x"}, {"missing", "m-9.safetensors"}}) {
    put(folder_ / "root" / "me" / name / "config.json", config);
    put(folder_ / "root" / "me" / name / "model.safetensors.index.json", R"({"weight_map": {"a": ")" + shard + R"("}})");
  }
  serve();
  EXPECT_NE(error_of([&] { fetch_snapshot({"me/escaping"}, options()); }).find("which leaves the folder"), std::string::npos);
  EXPECT_NE(error_of([&] { fetch_snapshot({"me/missing"}, options()); }).find("which the repository does not have"),
            std::string::npos);
}

TEST_F(Hub, WithoutTheHubTheCacheServesWithAWarning) {
  serve();
  const std::string commit = fetch().commit;
  hub_.reset();
  testing::internal::CaptureStderr();
  const HubSnapshot snapshot = fetch();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("is taken from the cache, as it was at commit " + commit),
            std::string::npos);
  EXPECT_TRUE(snapshot.from_cache);
}

TEST_F(Hub, WithoutTheHubAndWithoutTheCacheNobodyServes) {
  std::string message;
  EXPECT_EQ(kind_of([&] { fetch(); }, &message), ErrorKind::unavailable);
  EXPECT_NE(message.find("cannot be reached"), std::string::npos) << message;
}

TEST_F(Hub, OfflineAsksNobody) {
  serve();
  const auto offline = [](HubOptions& options) { options.offline = true; };
  EXPECT_EQ(kind_of([&] { fetch(offline); }), ErrorKind::unavailable);
  fetch();
  const std::size_t asked = hub_->requests().size();
  EXPECT_EQ(fetch(offline).files.size(), 3U);
  EXPECT_EQ(hub_->requests().size(), asked);
}

TEST_F(Hub, AFolderGetsPlainFilesAndNoOthers) {
  serve();
  const auto to_folder = [&](HubOptions& options) { options.folder = folder_ / "out"; };
  const HubSnapshot snapshot = fetch(to_folder);
  EXPECT_EQ(snapshot.folder, folder_ / "out");
  EXPECT_EQ(read_text(folder_ / "out" / "model.safetensors"), weights_);
  EXPECT_FALSE(fs::is_symlink(folder_ / "out" / "config.json"));
  EXPECT_FALSE(fs::exists(folder_ / "out" / ".eaq-fetch"));
  EXPECT_FALSE(fs::exists(folder_ / "cache"));
  const int before = requests("cdn", "GET");
  fetch(to_folder);
  EXPECT_EQ(requests("cdn", "GET"), before);
  put(folder_ / "out" / "config.json", "changed");
  fetch(to_folder);
  EXPECT_EQ(read_text(folder_ / "out" / "config.json"), config);
  put(folder_ / "out" / "vocab.txt", "of another model");
  EXPECT_NE(error_of([&] { fetch(to_folder); }).find("is no file of the model that is to be fetched"), std::string::npos);
}

TEST_F(Hub, AFolderIsFilledFromTheCacheWhereThatHasTheFiles) {
  serve();
  fetch();
  const int before = requests("cdn", "GET");
  fetch([&](HubOptions& options) { options.folder = folder_ / "out"; });
  EXPECT_EQ(requests("cdn", "GET"), before);
  EXPECT_EQ(read_text(folder_ / "out" / "model.safetensors"), weights_);
}

TEST_F(Hub, ALockThatIsHeldIsWaitedFor) {
  serve();
  const fs::path lock = folder_ / "cache" / ".locks" / "models--me--model" / (sha256(weights_) + ".lock");
  fs::create_directories(lock.parent_path());
  auto held = std::make_unique<BlobLock>(lock);
  ASSERT_TRUE(held->try_once());
  std::atomic<bool> done = false;
  std::thread other([&] {
    fetch();
    done = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(done);
  held.reset();
  other.join();
  EXPECT_TRUE(done);
}

TEST_F(Hub, ACacheThatCannotBeWrittenIsNamed) {
  serve();
  put(folder_ / "cache", "a file where the folder should be");
  EXPECT_NE(error_of([&] { fetch(); }).find((folder_ / "cache").string()), std::string::npos);
}

TEST_F(Hub, ADanglingBlobOfPythonsSharedStoreIsReplaced) {
  serve();
  fs::create_directories(repository() / "blobs");
  fs::create_symlink("../../blobs/ab/gone", repository() / "blobs" / sha256(weights_));
  fetch();
  EXPECT_EQ(read_text(repository() / "blobs" / sha256(weights_)), weights_);
}

}  // namespace
}  // namespace eaq::hub
