#include "eaq/hub/store.h"

#include <chrono>
#include <thread>

#include "eaq/hub/listing.h"

namespace eaq::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds between_looks(50);

bool is_right(const fs::path& path, const RemoteFile& file) {
  std::error_code error;
  return fs::is_regular_file(path, error) && (!file.bytes || fs::file_size(path, error) == *file.bytes) &&
         hash_of_file(path, file.hash) == file.hash;
}

class CacheStore final : public Store {
 public:
  explicit CacheStore(CachedRepository repository) : repository_(std::move(repository)) {}

  bool has(const RemoteFile& file) const override {
    std::error_code error;
    return fs::is_regular_file(repository_.blob(file.hash), error);
  }
  fs::path place(const RemoteFile& file) const override {
    repository_.prepare();
    return repository_.blob(file.hash);
  }
  std::unique_ptr<FileLock> lock(const RemoteFile& file) const override {
    repository_.prepare();
    return std::make_unique<FileLock>(repository_.lock(file.hash));
  }
  std::string text(const RemoteFile& file) const override { return read_text(repository_.blob(file.hash), largest_small_file); }
  void check(const std::set<std::string>&) const override {}

  fs::path publish(const HubName& name, const std::string& commit, const std::vector<RemoteFile>& files, bool changed) override {
    for (const RemoteFile& file : files) repository_.link(commit, file.name, file.hash);
    try {
      repository_.set_commit(name, commit);
    } catch (const Error& error) {
      // Somebody else's cache, whole and read-only, serves as well.
      if (changed) throw;
      warn(std::string("warning: the cache goes on to say where '") + printable(name.revision) +
           "' stood before: " + error.what());
    }
    return repository_.snapshot(commit);
  }
  void abandon(bool) override { repository_.remove_empty_folders(); }

 private:
  CachedRepository repository_;
};

class FolderStore final : public Store {
 public:
  FolderStore(fs::path folder, CachedRepository cache, const std::function<bool()>& stopped)
      : folder_(std::move(folder)), staged_(folder_ / ".eaq-fetch"), cache_(std::move(cache)) {
    make_folders(staged_);
    lock_ = std::make_unique<FileLock>(folder_);
    wait_for(*lock_, stopped, printable(folder_.string()));
    make_folders(staged_);  // who held the lock may have taken it away
  }

  bool has(const RemoteFile& file) const override {
    if (is_right(folder_ / file.name, file) || is_right(staged_ / file.name, file)) return true;
    // The cache may have it: a copy saves the way.
    std::error_code error;
    if (!fs::is_regular_file(cache_.blob(file.hash), error)) return false;
    const fs::path to = place(file);
    fs::copy_file(cache_.blob(file.hash), to, fs::copy_options::overwrite_existing, error);
    if (!error && is_right(to, file)) return true;
    fs::remove(to, error);
    return false;
  }
  fs::path place(const RemoteFile& file) const override {
    make_folders((staged_ / file.name).parent_path());
    return staged_ / file.name;
  }
  std::unique_ptr<FileLock> lock(const RemoteFile&) const override { return nullptr; }
  std::string text(const RemoteFile& file) const override {
    std::error_code error;
    const fs::path staged = staged_ / file.name;
    return read_text(fs::exists(staged, error) ? staged : folder_ / file.name, largest_small_file);
  }

  // Another model's files would be read with this one's.
  void check(const std::set<std::string>& names) const override {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
      const std::string name = entry.path().filename();
      const bool read = is_small_file(name) || name.ends_with(".safetensors") || is_index(name);
      if (read && !names.contains(name))
        throw Error(ErrorKind::input, printable(entry.path().string()) +
                                          ": is there, and is no file of the model that is to be fetched; name an empty folder");
    }
  }

  fs::path publish(const HubName&, const std::string&, const std::vector<RemoteFile>& files, bool) override {
    std::error_code error;
    for (const RemoteFile& file : files) {
      const fs::path to = folder_ / file.name, staged = staged_ / file.name;
      if (!fs::exists(staged, error)) continue;  // it was there
      make_folders(to.parent_path());
      fs::rename(staged, to, error);
      if (error) throw Error(ErrorKind::input, printable(to.string()) + ": cannot be put in its place: " + error.message());
    }
    fs::remove_all(staged_, error);
    return folder_;
  }
  void abandon(bool resumable) override {
    std::error_code error;
    if (!resumable) fs::remove_all(staged_, error);
    fs::remove(staged_, error);
    fs::remove(folder_, error);  // where nothing else is in it
  }

 private:
  fs::path folder_, staged_;
  CachedRepository cache_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace

void wait_for(FileLock& lock, const std::function<bool()>& stopped, const std::string& what) {
  for (bool told = false; !lock.try_once(); told = true) {
    if (stopped()) throw Error(ErrorKind::interrupted, "interrupted while waiting for " + what);
    if (!told) note("Waiting for " + what + ": another program is fetching it, or it comes under another name.");
    std::this_thread::sleep_for(between_looks);
  }
}

std::unique_ptr<Store> cache_store(CachedRepository repository) { return std::make_unique<CacheStore>(std::move(repository)); }

std::unique_ptr<Store> folder_store(const fs::path& folder, CachedRepository cache, const std::function<bool()>& stopped) {
  return std::make_unique<FolderStore>(folder, std::move(cache), stopped);
}

}  // namespace eaq::hub
