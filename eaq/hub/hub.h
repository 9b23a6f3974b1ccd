// hub: models from a Hugging Face hub. What is fetched lies in the hub's own cache, as `huggingface_hub` lays it out, so that
// what Python downloaded is found here and the other way round:
//
//     CACHE/models--OWNER--NAME/blobs/HASH                  a file's bytes, named by its hash
//                               snapshots/COMMIT/FILE       a link to its blob
//                               refs/REVISION               the commit that a branch or tag stood at
//           .locks/models--OWNER--NAME/HASH.lock            held (flock) while a blob is being fetched
//
// A blob appears once its hash is right, a snapshot's links and its ref once all of its files are there.
// Source: huggingface_hub's documentation ("Understand caching"), and its 2.4.0 release for what the documentation leaves open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"

namespace eaq {

/// A repository at a revision.
struct HubName {
  std::string id;                 ///< "owner/name", or "name" alone for the oldest ones
  std::string revision = "main";  ///< a branch, a tag, or a commit's 40 hexadecimal digits

  bool is_commit() const;  ///< the revision can never mean anything else
};
/// Of "owner/name" or "owner/name@revision". Error{usage} for what no hub would take, or what would lead out of the cache.
HubName parse_hub_name(std::string_view text);

/// "hf:owner/name[@revision]": a model by its name on the hub.
bool is_hub_model(std::string_view model);
HubName hub_name_of(std::string_view model);  ///< Error{usage} where it is none

struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;             ///< sent to the endpoint's own origin and to nobody else; empty: none
  std::filesystem::path cache;   ///< the folder with models--*
  bool offline = false;          ///< the cache alone
  std::filesystem::path folder;  ///< where the files go instead of the cache, as plain files; empty: to the cache
  int connections = 4;           ///< files at once
  Seconds pause{1};              ///< before the second try; doubles with each
  Seconds longest_pause{120};    ///< a server that asks for more (Retry-After) is not waited for
  Seconds stall{30};             ///< a connection without a byte for so long is taken for broken
  /// Looks at config.json before anything large is fetched; throws Error for a model that is of no use here.
  std::function<void(const std::string& config, const std::string& name)> judge;
};
/// HF_ENDPOINT; no token where HF_HUB_DISABLE_IMPLICIT_TOKEN says so, else HF_TOKEN, else the token that `hf auth login` keeps
/// (HF_TOKEN_PATH, else HF_HOME/token); HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
/// ~/.cache/huggingface/hub; HF_HUB_OFFLINE.
HubOptions hub_options_from_environment();

struct HubFile {
  std::string name;
  std::uint64_t bytes = 0;
  bool fetched = false;  ///< now; else it was there
};

struct HubSnapshot {
  HubName name;
  std::string commit;            ///< that the revision stood at
  std::filesystem::path folder;  ///< the files under their names
  std::vector<HubFile> files;
  bool from_cache = false;  ///< nobody was asked whether the revision has moved
};

/// Makes sure that the files which eaq reads (config, tokenizer, generation config, safetensors) are there, and says where. Shows
/// progress on standard error. Where the hub cannot be reached and the cache has the revision whole, that is taken, with a
/// warning. After a broken connection, or Ctrl-C, what came stays as BLOB.incomplete and the next call goes on from it; after any
/// other error nothing is left behind.
/// Error{input}: no such repository or revision, one without safetensors, one whose config.json `judge` refuses, a hash or a
/// length that does not hold, a listing that would leave the cache, a disk that is full or read-only. Error{unavailable}: a
/// repository that wants a token, a hub that cannot be reached, a model that is not in the cache when offline.
HubSnapshot fetch_snapshot(const HubName& name, const HubOptions& options);

/// The cache's snapshot of the revision; asks nobody. Error{unavailable} where it is not there or not whole.
HubSnapshot cached_snapshot(const HubName& name, const HubOptions& options);

}  // namespace eaq
