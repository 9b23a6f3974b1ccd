// One file from the hub to a disk: goes on where it broke off, and counts only when its hash is right.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "eaq/hub/http.h"
#include "eaq/hub/hub.h"

namespace eaq::hub {

/// What the hub says of one file, in X-Linked-ETag and X-Linked-Size, else in ETag and Content-Length.
struct RemoteFile {
  std::string name, url;
  std::string hash;  ///< 64 digits: SHA-256 of the bytes; 40: git's, the SHA-1 of "blob LENGTH\0" and the bytes
  std::optional<std::uint64_t> bytes;
};

/// An ETag as a hash: without quotes and W/; empty where it is none of the two.
std::string hash_of_etag(std::string_view etag);

/// Asks for it. Error as fetch_snapshot() has them.
RemoteFile look_up(HttpClient& client, const HubName& name, const HubOptions& options, const std::string& commit,
                   const std::string& file);

/// What went wrong with an answer, as Error{input} or Error{unavailable}.
[[noreturn]] void refuse(const HttpAnswer& answer, const HubName& name, const HubOptions& options, const std::string& wanted);

/// What several transfers of one snapshot have come to.
struct Tally {
  std::atomic<std::int64_t> bytes = 0;  ///< that came, less those that have to come again
  std::atomic<bool> resumable = false;  ///< one of them broke off, and a later call may go on from what came
};

/// Where a file grows until it is whole.
inline std::filesystem::path partial(const std::filesystem::path& file) { return std::filesystem::path(file) += ".incomplete"; }

/// Fetches `file` to `to`, by way of partial(to). That stays where the client was stopped or the connection broke for good.
void transfer(HttpClient& client, const RemoteFile& file, const HubName& name, const HubOptions& options,
              const std::filesystem::path& to, Tally& tally);

/// git's hash or SHA-256, by the length of `like`, of a file on the disk.
std::string hash_of_file(const std::filesystem::path& path, std::string_view like);

}  // namespace eaq::hub
