// The hub's cache: its paths, its links, its locks.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "eaq/hub/hub.h"

namespace eaq::hub {

/// One repository in the cache. Looking makes nothing; what is needed is made when something is to be put there.
class CachedRepository {
 public:
  CachedRepository(std::filesystem::path cache, const std::string& id);

  /// What refs/ says about a branch or tag; empty where it says nothing.
  std::string commit_of(const HubName& name) const;
  std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }
  std::filesystem::path blob(const std::string& hash) const { return folder_ / "blobs" / hash; }
  std::filesystem::path lock(const std::string& hash) const;

  void prepare() const;  ///< makes the folders for blobs and locks. Error{input} where that is not allowed
  /// Where the link is there already nothing is written.
  void link(const std::string& commit, const std::string& file, const std::string& hash) const;
  void set_commit(const HubName& name, const std::string& commit) const;
  void remove_empty_folders() const;  ///< of a repository into which nothing came

 private:
  std::filesystem::path cache_, folder_;
};

/// The files of a snapshot that eaq reads; the first that is missing, in `missing`.
std::vector<HubFile> files_of_snapshot(const std::filesystem::path& folder, std::string& missing);

/// Makes a folder and those above it. Error{input} names it.
void make_folders(const std::filesystem::path& path);

/// A lock by flock: on the file on which huggingface_hub waits, too, or on a folder.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);  ///< a file is made where nothing is there
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  bool try_once();  ///< false: somebody else holds it
  /// Whether others are really kept out: not on a file system that knows no locks.
  bool holds() const { return held_; }

 private:
  int fd_;
  bool held_ = false;
};

}  // namespace eaq::hub
