// What the hub says of one file, and what is said to the user where it says no.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eaq/hub/http.h"
#include "eaq/hub/hub.h"

namespace eaq::hub {

/// "hf:owner/name", with the revision where that is not main: for messages.
std::string who(const HubName& name);

/// What the hub says of one file, in X-Linked-ETag and X-Linked-Size, else in ETag and Content-Length.
struct RemoteFile {
  std::string name, url;
  std::string hash;  ///< 64 digits: SHA-256 of the bytes; 40: git's, the SHA-1 of "blob LENGTH\0" and the bytes
  std::optional<std::uint64_t> bytes;
};

/// Of config.json, a tokenizer, an index: more is refused.
inline constexpr std::uint64_t largest_small_file = std::uint64_t{256} << 20;

/// An ETag as a hash: without quotes and W/; empty where it is none of the two.
std::string hash_of_etag(std::string_view etag);

/// Asks for it. Error as fetch_snapshot() has them.
RemoteFile look_up(HttpClient& client, const HubName& name, const HubOptions& options, const std::string& commit,
                   const std::string& file);

/// What went wrong with an answer, as Error{input} or Error{unavailable}.
[[noreturn]] void refuse(const HttpAnswer& answer, const HubName& name, const HubOptions& options, const std::string& wanted);

}  // namespace eaq::hub
