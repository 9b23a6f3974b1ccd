// Where the files of a snapshot come to lie: the hub's cache, or a plain folder.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "eaq/hub/cache.h"
#include "eaq/hub/transfer.h"

namespace eaq::hub {

class Store {
 public:
  virtual ~Store() = default;

  /// Whether the file is there, whole and right.
  virtual bool has(const RemoteFile& file) const = 0;
  /// Where a transfer brings it; the folders that it needs are made. Error{input} where that is not allowed.
  virtual std::filesystem::path place(const RemoteFile& file) const = 0;
  /// To be held while it is brought; null where the store is locked as a whole.
  virtual std::unique_ptr<FileLock> lock(const RemoteFile& file) const = 0;
  /// A small file's text, once it is there.
  virtual std::string text(const RemoteFile& file) const = 0;
  /// Before anything large comes: whether these files may be put there.
  virtual void check(const std::set<std::string>& names) const = 0;
  /// Puts all of them under their names, and says in which folder; `changed` where one of them came.
  virtual std::filesystem::path publish(const HubName& name, const std::string& commit, const std::vector<RemoteFile>& files,
                                        bool changed) = 0;
  /// Nothing came of it: what nobody will use again goes. `resumable`: another call will go on.
  virtual void abandon(bool resumable) = 0;
};

/// huggingface_hub's cache. A blob's name is its hash, so one that is there is right.
std::unique_ptr<Store> cache_store(CachedRepository repository);

/// A folder of plain files; `cache` is looked at for files that need no way. Locked for others: waits until `stopped`.
std::unique_ptr<Store> folder_store(const std::filesystem::path& folder, CachedRepository cache,
                                    const std::function<bool()>& stopped);

/// Waits until the lock is held, saying so once. Error{interrupted} when stopped.
void wait_for(FileLock& lock, const std::function<bool()>& stopped, const std::string& what);

}  // namespace eaq::hub
