// One file from the hub to a disk: goes on where it broke off, and counts only when its hash is right.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

#include "eaq/hub/remote.h"

namespace eaq::hub {

/// What several transfers of one snapshot have come to.
struct Tally {
  std::atomic<std::int64_t> bytes = 0;    ///< that are there: came, were kept by an earlier call, or lay in the cache
  std::atomic<std::int64_t> arrived = 0;  ///< of them, from the network
  std::atomic<bool> resumable = false;    ///< one of them broke off, and a later call may go on from what came
};

/// Where a file grows until it is whole. `alone`: no lock keeps others away, so that the name must be nobody else's.
std::filesystem::path partial(const std::filesystem::path& file, bool alone = false);

/// Fetches `file` to `to`, by way of `part`, which partial() names. That stays where a later call can go on from it: where the
/// client was stopped, or the connection broke for good. It goes where it is wrong, or where the disk is full.
void transfer(HttpClient& client, const RemoteFile& file, const HubName& name, const HubOptions& options,
              const std::filesystem::path& to, const std::filesystem::path& part, Tally& tally);

/// git's hash or SHA-256, by the length of `like`, of a file on the disk.
std::string hash_of_file(const std::filesystem::path& path, std::string_view like);

}  // namespace eaq::hub
