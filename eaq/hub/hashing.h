// The hash of a file that is still growing.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

#include "eaq/base/base.h"

namespace eaq::hub {

/// SHA-256 of what a file descriptor's file holds, summed on a thread of its own behind the writer, from the system's page cache:
/// the connection does not wait for it, and no bytes are held for it.
class FollowingDigest {
 public:
  explicit FollowingDigest(int fd);
  ~FollowingDigest();
  FollowingDigest(const FollowingDigest&) = delete;
  FollowingDigest& operator=(const FollowingDigest&) = delete;

  void reach(std::uint64_t bytes);  ///< so many stand in the file
  void restart();                   ///< the file begins anew
  std::string hex();                ///< of all that it was told of; waits until it is summed. restart() begins another

 private:
  void follow();
  bool idle() const { return epoch_seen_ == epoch_ && summed_ == reached_; }

  int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t reached_ = 0, summed_ = 0;
  int epoch_ = 0, epoch_seen_ = 0;
  bool ending_ = false;
  std::exception_ptr failed_;
  Digest digest_{Digest::Kind::sha256};
  std::thread thread_;
};

}  // namespace eaq::hub
