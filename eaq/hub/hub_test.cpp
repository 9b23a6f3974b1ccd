// Fetching, from a hub of the test's own: whole, again, broken off, and with every fault.
#include "eaq/hub/hub.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "eaq/hub/cache.h"
#include "eaq/hub/testing.h"
#include "eaq/hub/transfer.h"

namespace eaq::hub {
namespace {

namespace fs = std::filesystem;

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

TEST_F(Hub, ABusyServerIsAskedAgainWhenItSays) {
  serve({"busy=1", "retry-after=1", "limited=2"});
  const Seconds begun = monotonic_clock().now();
  EXPECT_EQ(fetch([](HubOptions& options) { options.connections = 1; }).files.size(), 3U);
  EXPECT_GE((monotonic_clock().now() - begun).value(), 1.0);  // its own pause is a thousandth of that
}

TEST_F(Hub, AnAddressThatHasRunOutIsAskedForAnew) {
  serve({"forbidden=2"});
  EXPECT_EQ(fetch().files.size(), 3U);
}

TEST_F(Hub, WhatAnotherHostAnswersIsSaidOfThatHost) {
  serve({"forbidden=99"});
  const std::string message = error_of([&] { fetch(); });
  EXPECT_NE(message.find(hub_->store + ", to which " + hub_->endpoint + " sends, answers with status 403"), std::string::npos)
      << message;
}

TEST_F(Hub, AServerThatAsksForTooMuchPatienceIsNotWaitedFor) {
  serve({"busy=99", "retry-after=86400"});
  std::string message;
  EXPECT_EQ(kind_of([&] { fetch(); }, &message), ErrorKind::unavailable);
  EXPECT_NE(message.find("answers with status 503"), std::string::npos) << message;
  EXPECT_EQ(hub_->requests().size(), 1U);
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

TEST_F(Hub, ANameThatDoesNotResolveIsAHubThatCannotBeReached) {
  std::string message;
  const auto nowhere = [](HubOptions& options) { options.endpoint = "https://hub.invalid"; };
  EXPECT_EQ(kind_of([&] { fetch(nowhere); }, &message), ErrorKind::unavailable);
  EXPECT_NE(message.find("https://hub.invalid:443 cannot be reached"), std::string::npos) << message;
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
  EXPECT_FALSE(fs::exists(folder_ / "out" / ".eaq-fetch"));
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
  auto held = std::make_unique<FileLock>(lock);
  ASSERT_TRUE(held->try_once());
  std::atomic<bool> done = false;
  std::thread other([&] {
    fetch();
    done = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(done);
  EXPECT_EQ(requests("cdn", "GET"), 0);
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
