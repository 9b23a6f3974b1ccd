#include "eaq/base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

#include "eaq/base/error.h"
#include "eaq/base/places.h"
#include "eaq/base/version.h"

namespace eaq {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "eaq-base-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    return e.what();
  }
  return "no error";
}

TEST(AtomicFile, IsSeenWholeOrNotAtAll) {
  const Folder folder;
  write_text(folder / "x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("new");
    EXPECT_EQ(read_text(folder / "x"), "old");
    file.commit();
  }
  EXPECT_EQ(read_text(folder / "x"), "new");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  const Folder folder;
  { AtomicFile(folder / "x").write("half"); }
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(AtomicFile, OnAFullDeviceIsAnErrorThatNamesIt) {
  EXPECT_EQ(error_of([] { write_text("/dev/full", "text"); }), "/dev/full: cannot write: No space left on device");
  struct stat info {};
  ASSERT_EQ(::stat("/dev/full", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode)) << "the device must not be replaced by a file";
}

TEST(AtomicFile, OnAFullDiskLeavesTheOldFile) {
  const Folder folder;
  write_text(folder / "x", "old");
  // The largest size that a file may have stands in for a full disk.
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of([&] { write_text(folder / "x", std::string(1 << 20, 'n')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("x: cannot write: "), std::string::npos) << message;
  EXPECT_EQ(read_text(folder / "x"), "old");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, WritesThroughALink) {
  const Folder folder;
  write_text(folder / "real", "old");
  std::filesystem::create_symlink("real", folder / "link");
  write_text(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "real"), "new");
}

TEST(AtomicFile, NamesAFolderThatIsNotThere) {
  EXPECT_EQ(error_of([] { write_text("/nowhere/x", ""); }), "/nowhere/x: cannot write: No such file or directory");
  const Folder folder;
  EXPECT_EQ(error_of([&] { write_text(folder.path(), ""); }), folder.path().string() + ": cannot write: Is a directory");
}

TEST(AtomicFile, ThreadsThatWriteOneFileLeaveOneOfTheirTexts) {
  const Folder folder;
  std::vector<std::thread> threads;
  for (char c = 'a'; c < 'e'; ++c)
    threads.emplace_back([&, c] {
      for (int i = 0; i < 10; ++i) write_text(folder / "x", std::string(100'000, c));
    });
  for (auto& t : threads) t.join();
  const std::string text = read_text(folder / "x");
  EXPECT_EQ(text, std::string(100'000, text[0]));
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(ReadText, RefusesWhatIsLargerThanTheLimit) {
  const Folder folder;
  write_text(folder / "x", std::string(100, 'a'));
  EXPECT_EQ(read_text(folder / "x", 100).size(), 100u);
  EXPECT_EQ(error_of([&] { read_text(folder / "x", 99); }), (folder / "x").string() + ": larger than the 99 bytes allowed");
  EXPECT_NE(error_of([] { read_text("/dev/zero", 1 << 20); }).find("larger than"), std::string::npos);
  EXPECT_EQ(error_of([&] { read_text(folder.path()); }), folder.path().string() + ": is a folder");
  EXPECT_EQ(error_of([] { read_text("/nowhere"); }), "/nowhere: cannot open: No such file or directory");
}

TEST(MappedFile, HasTheBytesOfTheFile) {
  const Folder folder;
  write_text(folder / "x", "abc");
  const MappedFile file(folder / "x");
  ASSERT_EQ(file.bytes().size(), 3u);
  EXPECT_EQ(static_cast<char>(file.bytes()[2]), 'c');
  write_text(folder / "empty", "");
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
}

TEST(MappedFile, IsARegularFile) {
  EXPECT_EQ(error_of([] { MappedFile("/dev/zero"); }), "/dev/zero: not a regular file");
  EXPECT_EQ(error_of([] { MappedFile("/tmp"); }), "/tmp: not a regular file");
  const Folder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { MappedFile(folder / "pipe"); }), (folder / "pipe").string() + ": not a regular file");
  EXPECT_EQ(error_of([] { MappedFile("/no\nwhere"); }), "/no\\x0awhere: cannot open: No such file or directory");
}

long resident_file_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssFile:")) return std::strtol(line.c_str() + 8, nullptr, 10);
  return -1;
}

TEST(MappedFile, ReleasedPagesAreReadAgain) {
  const Folder folder;
  constexpr std::size_t size = std::size_t{8} << 20;
  write_text(folder / "x", std::string(size, 'q'));
  const MappedFile file(folder / "x");
  const auto sum = [&] {
    std::size_t n = 0;
    for (const std::byte b : file.bytes()) n += b == std::byte{'q'};
    return n;
  };
  const long before = resident_file_kb();
  EXPECT_EQ(sum(), size);
  EXPECT_GT(resident_file_kb() - before, 7'000);
  file.release(file.bytes());
  EXPECT_LT(resident_file_kb() - before, 1'000);
  EXPECT_EQ(sum(), size);
  file.release(file.bytes().subspan(1, 100));  // no whole page: nothing happens
  file.release({});
  EXPECT_EQ(sum(), size);
}

TEST(Sha256, InPiecesIsThatOfTheWhole) {
  const std::string text(100'000, 'x');
  Digest sum(Digest::Kind::sha256);
  for (std::size_t at = 0; at < text.size(); at += 777)
    sum.update(std::as_bytes(std::span(text)).subspan(at, std::min<std::size_t>(777, text.size() - at)));
  EXPECT_EQ(sum.hex(), sha256(text));
}

TEST(Sha1, OfAbcIsTheOneInTheStandardAndCanBeBegunAnew) {
  Digest sum(Digest::Kind::sha1);
  sum.update("what does not count");
  sum.restart();
  sum.update("abc");
  EXPECT_EQ(sum.hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(Sha256, OfFilesIsThatOfTheirBytes) {
  const Folder folder;
  write_text(folder / "empty", "");
  EXPECT_EQ(sha256_file(folder / "empty"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string text((std::size_t{9} << 20) + 5, 'y');  // more than two pieces
  write_text(folder / "x", text);
  EXPECT_EQ(sha256_file(folder / "x"), sha256(text));
}

std::string utf8(std::uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | (c >> 6)), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | (c >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (c >> 18)), tail(12), tail(6), tail(0)};
}

TEST(Utf8, EveryCodePointButSurrogatesIsWellFormed) {
  for (std::uint32_t c = 0; c < 0x120000; ++c)
    ASSERT_EQ(is_utf8(utf8(c)), c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF)) << std::hex << c;
}

TEST(Utf8, OverlongFormsAndStrayBytesAreNot) {
  for (const char* bad :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
        "\xF8\x88\x80\x80\x80", "\xFE", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xC3\x28"})
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
}

TEST(Utf8, ABadByteIsFoundAnywhere) {
  for (std::size_t length = 1; length < 40; ++length)
    for (std::size_t at = 0; at < length; ++at) {
      std::string text(length, 'a');
      EXPECT_TRUE(is_utf8(text));
      text[at] = '\xFF';
      EXPECT_FALSE(is_utf8(text)) << at << " of " << length;
    }
}

TEST(Printable, IsOneLineOfValidUtf8ForAnyBytes) {
  EXPECT_EQ(printable("a\r\n\t\x7f"
                      "b"),
            "a\\x0d\\x0a\\x09\\x7fb");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xc2\\x9b") << "a C1 control";
  EXPECT_EQ(printable(std::string("\0", 1)), "\\x00");
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_TRUE(is_utf8(printable(all)));
  EXPECT_EQ(printable("\xF0\x9F\x98\x80 \xC3\xA9"), "\xF0\x9F\x98\x80 \xC3\xA9");
}

TEST(Places, SharedFilesOfTheSourceTreeAreFound) {
  const auto file = find_shared("data/README.md");
  ASSERT_TRUE(file);
  EXPECT_TRUE(std::filesystem::exists(*file));
  EXPECT_FALSE(find_shared("data/nothing"));
  EXPECT_NE(searched_places("data/nothing").find(std::string(EAQ_SOURCE_DIR) + "/data/nothing"), std::string::npos);
}

TEST(Places, EmbeddedModelsAreNamesNotPaths) {
  EXPECT_TRUE(embedded_model_path("tiny-gpt2"));
  for (const char* name : {"", ".", "..", "../models/tiny-gpt2", "/tmp", "tiny-gpt2/", "no-such-model"})
    EXPECT_FALSE(embedded_model_path(name)) << name;
}

TEST(Places, TheCacheFollowsTheXdgVariables) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const std::string old = cache == nullptr ? "" : cache;
  ::setenv("XDG_CACHE_HOME", "/x/y", 1);
  EXPECT_EQ(cache_folder(), "/x/y/eaq");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_NE(cache_folder(), "relative/eaq");
  ::unsetenv("XDG_CACHE_HOME");
  if (const char* home = std::getenv("HOME"); home != nullptr) {
    EXPECT_EQ(cache_folder(), std::filesystem::path(home) / ".cache/eaq");
  }
  if (cache != nullptr) ::setenv("XDG_CACHE_HOME", old.c_str(), 1);
}

TEST(Version, HasThreeNumbers) {
  EXPECT_EQ(std::count(version().begin(), version().end(), '.'), 2);
  EXPECT_EQ(version().find_first_not_of("0123456789."), std::string_view::npos);
}

}  // namespace
}  // namespace eaq
