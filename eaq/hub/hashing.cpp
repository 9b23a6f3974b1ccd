#include "eaq/hub/hashing.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

namespace eaq::hub {
namespace {

constexpr std::uint64_t step = std::uint64_t{512} << 10;

std::span<const std::byte> read_at(int fd, std::uint64_t at, std::span<std::byte> buffer) {
  for (;;) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (n > 0) return buffer.first(static_cast<std::size_t>(n));
    if (n < 0 && errno == EINTR) continue;
    throw Error(ErrorKind::input,
                std::string("what was written cannot be read again: ") + (n < 0 ? std::strerror(errno) : "it ends early"));
  }
}

}  // namespace

FollowingDigest::FollowingDigest(int fd) : fd_(fd), thread_([this] { follow(); }) {}

FollowingDigest::~FollowingDigest() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FollowingDigest::reach(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    reached_ = bytes;
  }
  changed_.notify_all();
}

void FollowingDigest::restart() {
  {
    const std::lock_guard lock(mutex_);
    reached_ = 0;
    ++epoch_;
  }
  changed_.notify_all();
}

std::string FollowingDigest::hex() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return idle() || failed_; });
  if (failed_) std::rethrow_exception(failed_);
  return digest_.hex();
}

void FollowingDigest::follow() {
  std::vector<std::byte> buffer(step);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !idle(); });
    if (ending_) return;
    if (epoch_seen_ != epoch_) {
      epoch_seen_ = epoch_;
      summed_ = 0;
      digest_.restart();
      changed_.notify_all();
      continue;
    }
    const int epoch = epoch_;
    const std::uint64_t at = summed_, wanted = std::min(step, reached_ - summed_);
    lock.unlock();
    std::exception_ptr failure;
    std::size_t got = 0;
    try {
      const auto part = read_at(fd_, at, std::span(buffer).first(wanted));
      digest_.update(part);
      got = part.size();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (epoch != epoch_) continue;  // what was read is of no use any more, nor is a failure to read it
    summed_ += got;
    if (failure) {
      failed_ = failure;
      changed_.notify_all();
      return;
    }
    if (idle()) changed_.notify_all();
  }
}

}  // namespace eaq::hub
