// What servers, users and the environment say, and hashes: the parts of a fetch.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "eaq/hub/hashing.h"
#include "eaq/hub/http.h"
#include "eaq/hub/hub.h"
#include "eaq/hub/listing.h"
#include "eaq/hub/testing.h"
#include "eaq/hub/transfer.h"

namespace eaq::hub {
namespace {

// --- names

TEST(HubName, HasARevisionOrMain) {
  EXPECT_EQ(parse_hub_name("openai-community/gpt2").revision, "main");
  EXPECT_EQ(parse_hub_name("gpt2").id, "gpt2");
  EXPECT_EQ(parse_hub_name("a/b@refs/pr/1").revision, "refs/pr/1");
  EXPECT_EQ(hub_name_of("hf:a/b@v1").id, "a/b");
  EXPECT_TRUE((HubName{"a/b", "0123456789abcdef0123456789abcdef01234567"}).is_commit());
  EXPECT_FALSE((HubName{"a/b", "0123456789ABCDEF0123456789abcdef01234567"}).is_commit());
}

TEST(HubName, ThatCouldLeaveTheCacheIsRefused) {
  for (const char* name : {"",       "/",      "a/",     "/b",      "a/b/c",    "../b",    "a/..",    "a/.b",     "a/b.",
                           "-a/b",   "a--b/c", "a/b..c", "a b/c",   "a/b\n",    "a/b.git", "a/b@",    "a/b@../x", "a/b@x/../y",
                           "a/b@/x", "a/b@x/", "a/b@.x", "a/b@a b", "a/b@x\\y", "a/b@x:y", "a/b@\xff"})
    EXPECT_EQ(kind_of([&] { parse_hub_name(name); }), ErrorKind::usage) << name;
  EXPECT_EQ(kind_of([&] { parse_hub_name(std::string(97, 'a')); }), ErrorKind::usage);
}

// --- what servers say

TEST(Http, OriginsAreComparedWithSchemeHostAndPort) {
  EXPECT_EQ(origin("https://Huggingface.co/a/b?c"), "https://huggingface.co:443");
  EXPECT_EQ(origin("http://h:80/"), origin("http://h"));
  EXPECT_NE(origin("http://h:8080"), origin("http://h"));
  EXPECT_NE(origin("https://h"), origin("http://h"));
  EXPECT_EQ(origin("https://user:secret@h/"), "https://h:443");
  for (const char* url : {"ftp://h", "file:///etc/passwd", "h", "", "http://"}) EXPECT_EQ(origin(url), "") << url;
}

TEST(Http, AContentRangeIsReadWholeOrNotAtAll) {
  const auto range = content_range("bytes 5-9/10");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5U);
  EXPECT_EQ(range->whole, 10U);
  EXPECT_FALSE(content_range("bytes 5-9/*")->whole);
  for (const char* text : {"", "bytes", "bytes 5", "bytes 9-5/10", "bytes 5-9/9", "bytes -9/10", "bytes 5-/10", "items 5-9/10",
                           "bytes */10", "bytes 5-9/99999999999999999999", "bytes +5-9/10"})
    EXPECT_FALSE(content_range(text)) << text;
}

TEST(Http, RetryAfterIsACountOrADate) {
  EXPECT_EQ(retry_after("7", 0), 7);
  EXPECT_EQ(retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 100), 20);
  EXPECT_EQ(retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 1000), 0);
  EXPECT_FALSE(retry_after("soon", 0));
}

TEST(Attempts, AreFewAtFirstContactAndAnewAfterProgress) {
  const std::atomic<bool> stop = false;
  const HttpClient client({}, stop);
  HttpAnswer gone;
  gone.failure = "refused", gone.unreachable = true;
  const auto tries = [&](Attempts attempts) {
    int count = 1;
    while (attempts.again(gone, client)) ++count;
    return count;
  };
  EXPECT_EQ(tries(Attempts(Seconds(0.001), Seconds(1), true)), 2);
  EXPECT_EQ(tries(Attempts(Seconds(0.001), Seconds(1))), 5);  // a network that is away for a moment
  Attempts attempts(Seconds(0.001), Seconds(1));
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(attempts.again(gone, client));
    attempts.progress();
  }
}

TEST(Attempts, AreForWhatMayPass) {
  const auto worthwhile = [](int status, bool elsewhere) {
    HttpAnswer answer;
    answer.status = status, answer.elsewhere = elsewhere;
    return Attempts::worthwhile(answer);
  };
  for (const int status : {408, 425, 429, 500, 502, 503, 504, 520}) EXPECT_TRUE(worthwhile(status, false)) << status;
  for (const int status : {400, 401, 403, 404, 416, 501}) EXPECT_FALSE(worthwhile(status, false)) << status;
  EXPECT_TRUE(worthwhile(403, true));
}

TEST(Http, PathsAreEscapedButForTheirSlashes) {
  EXPECT_EQ(url_path("a b/ü?#%"), "a%20b/%C3%BC%3F%23%25");
  EXPECT_EQ(url_segment("refs/pr/1"), "refs%2Fpr%2F1");
}

TEST(Hash, OfAnEtagIsGitsOrSha256OrNone) {
  const std::string git(40, 'a'), sha(64, '0');
  EXPECT_EQ(hash_of_etag('"' + git + '"'), git);
  EXPECT_EQ(hash_of_etag("W/\"" + sha + '"'), sha);
  EXPECT_EQ(hash_of_etag(sha), sha);
  for (const std::string& tag :
       {std::string(), std::string("\"\""), '"' + std::string(32, 'a') + '"', std::string(40, 'A'), "../" + git.substr(3)})
    EXPECT_EQ(hash_of_etag(tag), "") << tag;
}

TEST(Hash, OfGitIsThatOfGitHashObject) {
  const TestFolder folder;
  put(folder / "x", "hello\n");
  EXPECT_EQ(hash_of_file(folder / "x", std::string(40, '0')), "ce013625030ba8dba906f756967f9e9ca394464a");
  put(folder / "empty", "");
  EXPECT_EQ(hash_of_file(folder / "empty", std::string(40, '0')), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

TEST(Hash, FollowsAFileThatGrowsAndBeginsAnew) {
  const TestFolder folder;
  const std::string text(3'000'001, 'z');
  put(folder / "x", text);
  std::FILE* file = std::fopen((folder / "x").c_str(), "rb");
  {
    FollowingDigest sum(::fileno(file));
    sum.reach(1'000'000);
    sum.restart();
    for (std::uint64_t at = 0; at < text.size(); at += 600'000) sum.reach(at);
    sum.reach(text.size());
    EXPECT_EQ(sum.hex(), sha256(text));
    sum.restart();
    sum.reach(5);
    EXPECT_EQ(sum.hex(), sha256(text.substr(0, 5)));
    sum.restart();
    sum.reach(text.size() + 1);
    EXPECT_EQ(kind_of([&] { sum.hex(); }), ErrorKind::input);
  }
  std::fclose(file);
}

TEST(Listing, NamesACommitAndFiles) {
  const std::string commit(40, 'c');
  const Listing listing =
      read_listing(R"({"sha":")" + commit + R"(","siblings":[{"rfilename":"a/b.txt"},{"rfilename":"c","size":7}]})", "hub");
  EXPECT_EQ(listing.commit, commit);
  ASSERT_EQ(listing.files.size(), 2U);
  EXPECT_FALSE(listing.files[0].bytes);
  EXPECT_EQ(listing.find("c")->bytes, 7U);
  EXPECT_EQ(listing.find("d"), nullptr);
}

TEST(Listing, ThatIsMalformedOrHostileIsRefused) {
  const std::string good = R"("sha":")" + std::string(40, 'c') + '"';
  for (const std::string& text :
       {std::string("<html>"), std::string("[]"), std::string("{}"), "{" + good + "}", "{" + good + R"(,"siblings":[7]})",
        "{" + good + R"(,"siblings":[{}]})", "{" + good + R"(,"siblings":[{"rfilename":"../x"}]})",
        "{" + good + R"(,"siblings":[{"rfilename":"/x"}]})", "{" + good + R"(,"siblings":[{"rfilename":"a//b"}]})",
        "{" + good + "{" + good + R"(,"siblings":[{"rfilename":""}]})", std::string(R"({"sha":"../../x","siblings":[]})"),
        std::string(R"({"sha":7,"siblings":[]})")})
    EXPECT_EQ(kind_of([&] { read_listing(text, "hub"); }), ErrorKind::input) << text;
}

TEST(Listing, ShardsAreNamedOnceAndStayInTheFolder) {
  EXPECT_EQ(shards_of(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"1.safetensors"}})", "x"),
            (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  for (const char* text : {"[]", "{}", R"({"weight_map":{}})", R"({"weight_map":{"a":7}})",
                           R"({"weight_map":{"a":"../x.safetensors"}})", R"({"weight_map":{"a":".bashrc"}})",
                           R"({"weight_map":{"a":".x.safetensors"}})", R"({"weight_map":{"a":".git/x.safetensors"}})",
                           R"({"weight_map":{"a":"config"}})", R"({"weight_map":{"a":"a\\b.safetensors"}})"})
    EXPECT_EQ(kind_of([&] { shards_of(text, "x"); }), ErrorKind::input) << text;
}

// --- the environment

class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values) {
    for (const char* name :
         {"HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME",
          "HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"}) {
      const char* old = std::getenv(name);
      before_.emplace_back(name, old == nullptr ? std::nullopt : std::optional<std::string>(old));
      const auto now = values.find(name);
      now == values.end() ? ::unsetenv(name) : ::setenv(name, now->second.c_str(), 1);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_) value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name);
  }

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

HubOptions options_in(const std::map<std::string, std::string>& values) {
  const Environment environment(values);
  return hub_options_from_environment();
}

TEST(HubEnvironment, TheCacheIsWherePythonHasIt) {
  EXPECT_EQ(options_in({{"HOME", "/h"}}).cache, "/h/.cache/huggingface/hub");
  EXPECT_EQ(options_in({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}).cache, "/x/huggingface/hub");
  EXPECT_EQ(options_in({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}, {"HF_HOME", "~/f"}}).cache, "/h/f/hub");
  EXPECT_EQ(options_in({{"HOME", "/h"}, {"HF_HOME", "/f"}, {"HF_HUB_CACHE", "/c"}}).cache, "/c");
  EXPECT_EQ(options_in({}).cache, "");
}

TEST(HubEnvironment, TheTokenIsTheVariablesOrTheStoredOne) {
  const TestFolder folder;
  put(folder / "token", "hf_stored\n");
  EXPECT_EQ(options_in({{"HF_HOME", folder.path()}}).token, "hf_stored");
  EXPECT_EQ(options_in({{"HF_HOME", folder.path()}, {"HF_TOKEN", " hf_said "}}).token, "hf_said");
  EXPECT_EQ(options_in({{"HF_HOME", folder.path()}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
  EXPECT_EQ(options_in({{"HF_TOKEN", "hf_said"}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
  EXPECT_EQ(kind_of([] { options_in({{"HF_TOKEN", "a\r\nHost: evil"}}); }), ErrorKind::usage);
}

TEST(HubEnvironment, EndpointAndOffline) {
  EXPECT_EQ(options_in({}).endpoint, "https://huggingface.co");
  EXPECT_EQ(options_in({{"HF_ENDPOINT", "http://mirror/"}}).endpoint, "http://mirror");
  EXPECT_FALSE(options_in({}).offline);
  EXPECT_TRUE(options_in({{"HF_HUB_OFFLINE", "yes"}}).offline);
  EXPECT_FALSE(options_in({{"HF_HUB_OFFLINE", "0"}}).offline);
}

}  // namespace
}  // namespace eaq::hub
