// Any bytes as what a hub, a store or a user says: refused with an Error, or something that holds.
#include <cstdlib>

#include "eaq/base/base.h"
#include "eaq/hub/http.h"
#include "eaq/hub/hub.h"
#include "eaq/hub/listing.h"
#include "eaq/hub/transfer.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class Work>
void guarded(Work work, eaq::ErrorKind kind) {
  try {
    work();
  } catch (const eaq::Error& error) {
    require(error.kind() == kind && eaq::is_utf8(error.what()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace eaq;  // NOLINT
  const std::string text(reinterpret_cast<const char*>(data), size);
  guarded(
      [&] {
        const hub::Listing listing = hub::read_listing(text, "listing");
        require(HubName{"a/b", listing.commit}.is_commit());
        for (const auto& file : listing.files) require(hub::stays_below(file.name));
      },
      ErrorKind::input);
  guarded(
      [&] {
        for (const std::string& shard : hub::shards_of(text, "index")) require(hub::stays_below(shard) && shard.front() != '/');
      },
      ErrorKind::input);
  guarded(
      [&] {
        const HubName name = parse_hub_name(text);
        require(hub::stays_below(name.id) && hub::stays_below(name.revision));
      },
      ErrorKind::usage);
  if (const auto range = hub::content_range(text)) require(!range->whole || range->first < *range->whole);
  if (const auto seconds = hub::retry_after(text, 0)) require(*seconds >= 0);
  const std::string hash = hub::hash_of_etag(text);
  require(hash.empty() || hub::stays_below(hash));
  const std::string from = hub::origin(text);
  require(from.empty() || from.starts_with("http"));
  return 0;
}
