#include "eaq/hub/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "eaq/hub/listing.h"

namespace eaq::hub {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what, int code) {
  throw Error(ErrorKind::input, printable(path.string()) + ": " + what + ": " + std::strerror(code));
}

std::string folder_name(const std::string& id) {
  std::string name = "models--";
  for (const char c : id) c == '/' ? name += "--" : name += c;
  return name;
}

// Says to back-up programs that the folder can be had again (bford.info/cachedir). Several may do so at once.
void tag(const fs::path& cache) {
  const fs::path file = cache / "CACHEDIR.TAG";
  std::error_code error;
  if (fs::exists(file, error)) return;
  write_text(file,
             "Signature: 8a477f597d28d172789f06886806bc55\n# Models from a Hugging Face hub, which can be fetched again.\n");
}

}  // namespace

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(path, "cannot make the folder", error.value());
}

CachedRepository::CachedRepository(fs::path cache, const std::string& id)
    : cache_(std::move(cache)), folder_(cache_ / folder_name(id)) {}

std::string CachedRepository::commit_of(const HubName& name) const {
  if (name.is_commit()) return name.revision;
  std::error_code error;
  const fs::path file = folder_ / "refs" / name.revision;
  if (!fs::is_regular_file(file, error)) return "";
  std::string commit = read_text(file, 1 << 12);
  while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r')) commit.pop_back();
  return HubName{name.id, commit}.is_commit() ? commit : "";  // what a path is made of
}

fs::path CachedRepository::lock(const std::string& hash) const {
  return cache_ / ".locks" / folder_.filename() / (hash + ".lock");
}

void CachedRepository::prepare() const {
  make_folders(folder_ / "blobs");
  make_folders(lock("").parent_path());
  tag(cache_);
}

void CachedRepository::link(const std::string& commit, const std::string& file, const std::string& hash) const {
  const fs::path pointer = snapshot(commit) / file;
  std::error_code error;
  if (fs::equivalent(pointer, blob(hash), error)) return;
  make_folders(pointer.parent_path());
  const fs::path target = fs::relative(blob(hash).parent_path(), pointer.parent_path(), error) / hash;
  // Beside it, then renamed: whoever looks sees the old link or the new one.
  fs::path made = pointer;
  made += "." + std::to_string(::getpid()) + ".link";
  fs::remove(made, error);
  fs::create_symlink(target, made, error);
  if (error) fail(pointer, "cannot be linked to its blob", error.value());
  fs::rename(made, pointer, error);
  if (!error) return;
  const int code = error.value();
  fs::remove(made, error);
  fail(pointer, "cannot be put in its place", code);
}

void CachedRepository::set_commit(const HubName& name, const std::string& commit) const {
  if (name.is_commit() || commit_of(name) == commit) return;
  const fs::path file = folder_ / "refs" / name.revision;
  make_folders(file.parent_path());
  write_text(file, commit);
}

void CachedRepository::remove_empty_folders() const {
  std::error_code error;  // a folder with something in it stays
  fs::remove(folder_ / "blobs", error);
  fs::remove(folder_, error);
}

std::vector<HubFile> files_of_snapshot(const fs::path& folder, std::string& missing) {
  std::vector<HubFile> files;
  std::error_code error;
  const auto take = [&](const std::string& name) {
    if (!fs::is_regular_file(folder / name, error)) return false;  // follows the link
    files.push_back({name, fs::file_size(folder / name, error)});
    return true;
  };
  const auto require = [&](const std::string& name) {
    if (!take(name) && missing.empty()) missing = name;
  };
  require("config.json");
  Listing listing;  // of what lies there, for the same choice as among the hub's
  for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json"})
    if (fs::exists(folder / name, error)) listing.files.push_back({name, std::nullopt});
  if (listing.find("model.safetensors") == nullptr && listing.find("model.safetensors.index.json") == nullptr) {
    if (missing.empty()) missing = "model.safetensors";
    return files;
  }
  if (!missing.empty()) return files;
  const std::string checkpoint = checkpoint_file(listing, printable(folder.string()));
  require(checkpoint);
  if (is_index(checkpoint) && missing.empty())
    for (const std::string& shard : shards_of(read_text(folder / checkpoint), printable((folder / checkpoint).string())))
      require(shard);
  std::vector<std::string> others;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (const std::string name = entry.path().filename(); name != "config.json" && is_small_file(name)) others.push_back(name);
  std::sort(others.begin(), others.end());
  for (const std::string& name : others) require(name);
  return files;
}

FileLock::FileLock(const fs::path& path)
    : fd_(::open(path.c_str(), fs::is_directory(path) ? O_RDONLY | O_DIRECTORY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC,
                 0664)) {
  if (fd_ < 0) fail(path, "cannot open", errno);
}

FileLock::~FileLock() { ::close(fd_); }  // which lets go of it

bool FileLock::try_once() {
  held_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  return held_ || (errno != EWOULDBLOCK && errno != EINTR);
}

}  // namespace eaq::hub
