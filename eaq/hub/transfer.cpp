#include "eaq/hub/transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "eaq/hub/hashing.h"

namespace eaq::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t write_back = std::uint64_t{8} << 20;       // the disk begins before the end is known
constexpr std::uint64_t most_of_unknown = std::uint64_t{1} << 30;  // where nobody said how long a file is
constexpr std::uint64_t worth_new_tries = 64 << 10;                // a server that sends a byte a time is no progress

std::string mebibytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// What came of a file. Goes away with this object, unless it is kept or became the file.
class Partial {
 public:
  explicit Partial(fs::path path)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)) {
    if (fd_ < 0) fail("cannot write");
    struct stat info {};
    if (::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode)) size_ = static_cast<std::uint64_t>(info.st_size);
  }
  ~Partial() {
    ::close(fd_);
    if (!keep_) ::unlink(path_.c_str());
  }
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;

  int fd() const { return fd_; }
  std::uint64_t size() const { return size_; }
  void keep() { keep_ = size_ > 0; }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("cannot write");
      size_ += static_cast<std::uint64_t>(n);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    if (size_ - handed_on_ < write_back) return;
    // Only a hint: where it fails, the end has more to do.
    (void)::sync_file_range(fd_, static_cast<off64_t>(handed_on_), static_cast<off64_t>(size_ - handed_on_),
                            SYNC_FILE_RANGE_WRITE);
    handed_on_ = size_;
  }

  void restart() {
    require_ours();
    if (::ftruncate(fd_, 0) != 0) fail("cannot write");
    size_ = handed_on_ = 0;
  }

  void become(const fs::path& file) {
    require_ours();
    if (::fsync(fd_) != 0) fail("cannot write");
    if (::rename(path_.c_str(), file.c_str()) != 0) fail("cannot be put in its place");
    keep_ = true;
  }

 private:
  // Where locks do not hold, another program may have made its file of this one.
  void require_ours() {
    struct stat ours {
    }, there{};
    if (::fstat(fd_, &ours) == 0 && ::lstat(path_.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
        ours.st_ino == there.st_ino)
      return;
    keep_ = true;  // it is not ours to remove
    throw Error(ErrorKind::input, printable(path_.string()) + ": another program has taken it away: one of them at a time");
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::input, printable(path_.string()) + ": " + what + ": " + std::strerror(errno));
  }

  fs::path path_;
  int fd_;
  std::uint64_t size_ = 0, handed_on_ = 0;
  bool keep_ = false;
};

void check_space(const RemoteFile& file, const HubName& name, const fs::path& folder, std::uint64_t there) {
  struct statvfs info {};
  if (!file.bytes || ::statvfs(folder.c_str(), &info) != 0) return;
  const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize, wanted = *file.bytes - there;
  if (wanted > free)
    throw Error(ErrorKind::input, printable(folder.string()) + ": no room: '" + file.name + "' of " + who(name) + " needs " +
                                      mebibytes(wanted) + ", " + mebibytes(free) +
                                      " are free; HF_HUB_CACHE names another folder");
}

bool is_sha256(std::string_view hash) { return hash.size() == 64; }

// An answer to a request for a part is that part, or the whole; anything else cannot be put together.
bool begins_where_asked(const HttpAnswer& answer, std::uint64_t from, const RemoteFile& file) {
  if (answer.status != 206) return from == 0;
  const std::string* text = answer.header("content-range");
  const auto range = text == nullptr ? std::nullopt : content_range(*text);
  return range && range->first == from && (!range->whole || !file.bytes || *range->whole == *file.bytes);
}

// The transfer of one file: `part` grows, `sum` follows.
class Fetch {
 public:
  Fetch(HttpClient& client, const RemoteFile& file, const HubName& name, const HubOptions& options, const fs::path& to,
        const fs::path& part, Tally& tally)
      : client_(client), file_(file), name_(name), options_(options), to_(to), path_(part), tally_(tally), part_(part) {
    if (is_sha256(file.hash)) sum_.emplace(part_.fd());
    count(part_.size());
  }

  void run() {
    if (part_.size() > limit()) restart();
    check_space(file_, name_, to_.parent_path(), part_.size());
    for (;;) {
      bring();
      const std::string hash = sum_ ? sum_->hex() : hash_of_file(path_, file_.hash);
      if (hash == file_.hash) break;
      if (!std::exchange(earlier_, false)) refuse_hash(hash);
      restart();  // what an earlier call left was not of this file
    }
    part_.become(to_);
  }

 private:
  std::uint64_t limit() const { return file_.bytes.value_or(most_of_unknown); }
  bool whole() const { return file_.bytes && part_.size() == *file_.bytes; }

  void count(std::uint64_t bytes) {
    tally_.bytes += static_cast<std::int64_t>(bytes);
    if (sum_) sum_->reach(part_.size());
  }

  void restart() {
    tally_.bytes -= static_cast<std::int64_t>(part_.size());
    if (sum_) sum_->restart();  // first: it may be reading what is about to go
    part_.restart();
  }

  // Until all bytes are there.
  void bring() {
    Attempts attempts(options_.pause, options_.longest_pause);
    std::uint64_t mark = part_.size();
    int anew = 0;
    while (!whole()) {
      bool too_long = false, misplaced = false;
      const std::uint64_t from = part_.size();
      bool first = true;
      const HttpAnswer answer =
          client_.ask({.url = file_.url, .from = from, .sink = [&](const HttpAnswer& now, std::span<const std::byte> bytes) {
                         if (std::exchange(first, false) && !begins_where_asked(now, from, file_)) {
                           misplaced = now.status != 200;  // the whole may come in place of a part
                           restart();
                           if (misplaced) return false;
                         }
                         too_long = bytes.size() > limit() - part_.size();
                         if (too_long) return false;
                         part_.write(bytes);
                         tally_.arrived += static_cast<std::int64_t>(bytes.size());
                         count(bytes.size());
                         return true;
                       }});
      if (too_long) refuse_length("more than");
      if (client_.stopped()) stop();
      if (part_.size() >= mark + worth_new_tries || whole()) {
        mark = part_.size();
        attempts.progress();
      }
      if (misplaced || (answer.status == 416 && from > 0)) {
        if (++anew > 2) refuse_length("other parts of it than");
        if (part_.size() > 0) restart();
        mark = 0;
        continue;
      }
      if (answer.ok() && answer.failure.empty()) {
        if (!file_.bytes || whole()) return;
        refuse_length("fewer than");
      }
      if (attempts.again(answer, client_)) continue;
      if (client_.stopped()) stop();
      part_.keep();
      if (Attempts::worthwhile(answer)) tally_.resumable = true;
      refuse(answer, name_, options_, "'" + file_.name + "'" + kept());
    }
  }

  std::string kept() const {
    return part_.size() == 0 ? ""
                             : " (" + mebibytes(part_.size()) + " of it came and are kept: the next call goes on from there)";
  }

  // By Ctrl-C, or because another file has failed: in a way that leaves nothing to go on with, or not.
  [[noreturn]] void stop() {
    if (interrupted() || tally_.resumable || earlier_) part_.keep();
    throw Error(ErrorKind::interrupted, "interrupted while fetching '" + file_.name + "' of " + who(name_) + kept());
  }

  [[noreturn]] void refuse_length(const std::string& how) const {
    throw Error(ErrorKind::input, who(name_) + ": '" + file_.name + "': the server sends " + how + " the " +
                                      (file_.bytes ? std::to_string(*file_.bytes) : std::to_string(most_of_unknown)) +
                                      " bytes that it announced; nothing of it is kept. Try again later, or another HF_ENDPOINT");
  }

  [[noreturn]] void refuse_hash(const std::string& hash) const {
    throw Error(ErrorKind::input,
                who(name_) + ": '" + file_.name + "': its " + (is_sha256(hash) ? "SHA-256" : "git hash") + " is " + hash +
                    ", the hub says " + file_.hash +
                    ": it was changed or damaged on the way; nothing of it is kept. Try again, or another HF_ENDPOINT");
  }

  HttpClient& client_;
  const RemoteFile& file_;
  const HubName& name_;
  const HubOptions& options_;
  const fs::path &to_, &path_;
  Tally& tally_;
  Partial part_;
  bool earlier_ = part_.size() > 0;  // what an earlier call left
  std::optional<FollowingDigest> sum_;
};

}  // namespace

fs::path partial(const fs::path& file, bool alone) {
  return fs::path(file) += alone ? "." + std::to_string(::getpid()) + ".incomplete" : ".incomplete";
}

std::string hash_of_file(const fs::path& path, std::string_view like) {
  const MappedFile file(path);
  if (is_sha256(like)) return sha256(file);
  Digest sum(Digest::Kind::sha1);
  sum.update("blob " + std::to_string(file.bytes().size()) + std::string(1, '\0'));
  sum.update(file.bytes());
  return sum.hex();
}

void transfer(HttpClient& client, const RemoteFile& file, const HubName& name, const HubOptions& options, const fs::path& to,
              const fs::path& part, Tally& tally) {
  Fetch(client, file, name, options, to, part, tally).run();
}

}  // namespace eaq::hub
