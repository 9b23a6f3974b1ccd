// A snapshot: what to fetch, in which order, where it goes.
//
// First the listing, then config.json (a model that is of no use is refused before anything large comes) and the index of a
// sharded checkpoint, then all the rest, several at once. Only when everything is there and right does the snapshot appear.
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "eaq/hub/cache.h"
#include "eaq/hub/listing.h"
#include "eaq/hub/transfer.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;
using namespace hub;  // NOLINT(google-build-using-namespace): this file is that namespace's front

constexpr std::chrono::milliseconds between_looks(50);

std::string who(const HubName& name) { return "hf:" + name.id + (name.revision == "main" ? "" : "@" + name.revision); }

void check(const HubOptions& options) {
  if (options.cache.empty() && options.folder.empty())
    throw Error(ErrorKind::unavailable, "no folder for models: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME is set");
  if (!options.offline && origin(options.endpoint).empty())
    throw Error(ErrorKind::usage, "HF_ENDPOINT: '" + printable(options.endpoint) + "' is no http(s) address");
}

// --- a plain folder in place of the cache

// What is on its way into a folder, or lies there already.
class FolderStore {
 public:
  explicit FolderStore(fs::path folder) : folder_(std::move(folder)), staged_(folder_ / ".eaq-fetch") {}

  fs::path staged(const std::string& hash) const { return staged_ / hash; }
  fs::path file(const std::string& name) const { return folder_ / name; }

  void prepare() const {
    std::error_code error;
    fs::create_directories(staged_, error);
    if (error) throw Error(ErrorKind::input, printable(folder_.string()) + ": cannot make the folder: " + error.message());
  }

  // Another model's files would be read with this one's.
  void check_others(const std::set<std::string>& wanted) const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
      const std::string name = entry.path().filename();
      const bool read = is_small_file(name) || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
      if (read && !wanted.contains(name))
        throw Error(ErrorKind::input, printable(entry.path().string()) +
                                          ": is there, and is no file of the model that is to be fetched; name an empty folder");
    }
  }

  void publish(const std::string& name, const std::string& hash) const {
    std::error_code error;
    fs::create_directories(file(name).parent_path(), error);
    fs::rename(staged(hash), file(name), error);
    if (error) throw Error(ErrorKind::input, printable(file(name).string()) + ": cannot be put in its place: " + error.message());
  }

  void remove_empty_folders() const {
    std::error_code error;
    fs::remove(staged_, error);
    fs::remove(folder_, error);
  }

 private:
  fs::path folder_, staged_;
};

// --- many files, several at once

// What workers and the one who shows progress have in common.
struct Crew {
  std::mutex mutex;
  std::deque<std::string> waiting;
  std::map<std::string, RemoteFile> found;  ///< by name
  std::set<std::string> fetched;
  std::vector<std::string> under_way;
  std::exception_ptr failed;
  std::vector<fs::path> begun;  ///< where transfers go
  Tally tally;
  std::atomic<bool> stop = false;
  std::atomic<int> working = 0;
};

class Job {
 public:
  Job(const HubName& name, const HubOptions& options)
      : name_(name), options_(options), cache_(options.cache, name.id), folder_(options.folder) {}

  HubSnapshot run();

 private:
  bool to_folder() const { return !options_.folder.empty(); }
  fs::path place(const std::string& hash) const { return to_folder() ? folder_.staged(hash) : cache_.blob(hash); }
  HttpClient client() { return HttpClient({origin(options_.endpoint), options_.token, options_.stall}, crew_.stop); }

  std::optional<Listing> listing(HttpClient& client);
  void bring(HttpClient& client, const std::string& file);
  bool is_there(const RemoteFile& file) const;
  void bring_all(const std::vector<std::string>& files);
  void work();
  void show();
  std::string text_of(const std::string& file) const;
  HubSnapshot publish();
  void clean_up() const;

  const HubName& name_;
  const HubOptions& options_;
  CachedRepository cache_;
  FolderStore folder_;
  Listing listing_;
  std::vector<std::string> wanted_;
  Crew crew_;
};

// Nothing where the hub cannot be reached and the cache has the revision.
std::optional<Listing> Job::listing(HttpClient& client) {
  const std::string url = options_.endpoint + "/api/models/" + name_.id + "/revision/" +
                          [&] {  // one segment of the path, slashes and all
                            std::string text = url_path(name_.revision), out;
                            for (const char c : text) c == '/' ? out += "%2F" : out += c;
                            return out;
                          }() +
                          "?blobs=true";
  Attempts attempts(options_.pause, options_.longest_pause);
  for (;;) {
    const HttpAnswer answer = client.ask({.url = url});
    if (client.stopped()) throw Error(ErrorKind::interrupted, "interrupted while fetching " + who(name_));
    if (answer.failure.empty() && answer.ok()) return read_listing(answer.text, printable(answer.url));
    if (Attempts::worthwhile(answer) && !to_folder()) {
      try {
        const HubSnapshot here = cached_snapshot(name_, options_);
        warn("warning: " + origin(options_.endpoint) + " does not answer (" +
             (answer.failure.empty() ? "status " + std::to_string(answer.status) : answer.failure) + "): " + who(name_) +
             " is taken from the cache, as it was at commit " + here.commit);
        return std::nullopt;
      } catch (const Error&) {  // it is not there: try on
      }
    }
    if (!attempts.again(answer, client)) refuse(answer, name_, options_, "");
  }
}

bool Job::is_there(const RemoteFile& file) const {
  std::error_code error;
  if (!to_folder()) return fs::is_regular_file(cache_.blob(file.hash), error);
  if (fs::is_regular_file(folder_.file(file.name), error) && hash_of_file(folder_.file(file.name), file.hash) == file.hash)
    return true;
  // The cache may have it: a copy saves the way.
  if (options_.cache.empty() || !fs::is_regular_file(cache_.blob(file.hash), error)) return false;
  const fs::path staged = folder_.staged(file.hash);
  fs::copy_file(cache_.blob(file.hash), staged, fs::copy_options::overwrite_existing, error);
  if (!error && hash_of_file(staged, file.hash) == file.hash) return true;
  fs::remove(staged, error);
  return false;
}

void Job::bring(HttpClient& client, const std::string& file) {
  {
    const std::lock_guard lock(crew_.mutex);
    if (crew_.found.contains(file)) return;
    crew_.under_way.push_back(file);
  }
  const RemoteFile remote = look_up(client, name_, options_, listing_.commit, file);
  bool came = false;
  if (!is_there(remote)) {
    std::optional<BlobLock> lock;
    if (!to_folder()) lock.emplace(cache_.lock(remote.hash));
    for (bool told = false; lock && !lock->try_once(); told = true) {
      if (client.stopped()) throw Error(ErrorKind::interrupted, "interrupted while waiting for '" + file + "' of " + who(name_));
      if (!told) note("Another program is fetching '" + file + "' of " + who(name_) + ": waiting for it.");
      std::this_thread::sleep_for(between_looks);
    }
    // Whoever held the lock may have brought it.
    if (!is_there(remote)) {
      {
        const std::lock_guard guard(crew_.mutex);
        crew_.begun.push_back(place(remote.hash));
      }
      transfer(client, remote, name_, options_, place(remote.hash), crew_.tally);
      came = true;
    }
  }
  if (!came && remote.bytes) crew_.tally.bytes += static_cast<std::int64_t>(*remote.bytes);
  const std::lock_guard lock(crew_.mutex);
  std::erase(crew_.under_way, file);
  crew_.found.emplace(file, remote);
  if (came) crew_.fetched.insert(file);
}

void Job::work() {
  try {
    HttpClient own = client();
    for (;;) {
      std::string file;
      {
        const std::lock_guard lock(crew_.mutex);
        if (crew_.waiting.empty() || crew_.stop) break;
        file = std::move(crew_.waiting.front());
        crew_.waiting.pop_front();
      }
      bring(own, file);
    }
  } catch (...) {
    const std::lock_guard lock(crew_.mutex);
    // The first to fail stops the others, whose own errors then say nothing.
    if (!crew_.stop.exchange(true)) crew_.failed = std::current_exception();
  }
  --crew_.working;
}

// While others work: the bar.
void Job::show() {
  double total = 0;
  for (const std::string& file : wanted_)
    if (const ListedFile* listed = listing_.find(file); listed != nullptr)
      total += static_cast<double>(listed->bytes.value_or(0));
  Progress progress("Fetching " + who(name_), std::max(total, 1.0));
  const Seconds begun = monotonic_clock().now();
  const auto at_first = static_cast<double>(crew_.tally.bytes.load());
  Seconds shown = begun;
  while (crew_.working > 0) {
    std::this_thread::sleep_for(between_looks);
    const Seconds now = monotonic_clock().now();
    if (now - shown < Seconds(0.25)) continue;
    shown = now;
    const auto received = static_cast<double>(crew_.tally.bytes.load());
    char rate[48];
    std::snprintf(rate, sizeof rate, "%.1f MB/s  ", (received - at_first) / 1e6 / (now - begun).value());
    const std::lock_guard lock(crew_.mutex);
    // Who began first, the largest, is who is waited for.
    progress.update(received, rate + (crew_.under_way.empty() ? "" : printable(crew_.under_way.front())));
  }
}

void Job::bring_all(const std::vector<std::string>& files) {
  // The largest first: the others then fill the time beside it.
  std::vector<std::string> order = files;
  const auto size = [&](const std::string& file) {
    const ListedFile* listed = listing_.find(file);
    return listed == nullptr ? 0 : listed->bytes.value_or(0);
  };
  std::stable_sort(order.begin(), order.end(), [&](const auto& a, const auto& b) { return size(a) > size(b); });
  crew_.waiting.assign(order.begin(), order.end());
  const int workers = std::clamp(static_cast<int>(order.size()), 1, std::max(1, options_.connections));
  crew_.working = workers;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(workers));
  for (int i = 0; i < workers; ++i) threads.emplace_back([this] { work(); });
  show();
  for (std::thread& thread : threads) thread.join();
  if (crew_.failed) std::rethrow_exception(crew_.failed);
}

std::string Job::text_of(const std::string& file) const {
  const std::string& hash = crew_.found.at(file).hash;
  const fs::path staged = place(hash);
  std::error_code error;
  return read_text(to_folder() && !fs::exists(staged, error) ? folder_.file(file) : staged, std::uint64_t{64} << 20);
}

HubSnapshot Job::publish() {
  HubSnapshot snapshot{name_, listing_.commit, to_folder() ? options_.folder : cache_.snapshot(listing_.commit), {}};
  std::error_code error;
  for (const std::string& file : wanted_) {
    const std::string& hash = crew_.found.at(file).hash;
    if (!to_folder())
      cache_.link(listing_.commit, file, hash);
    else if (fs::exists(folder_.staged(hash), error))
      folder_.publish(file, hash);
    snapshot.files.push_back({file, fs::file_size(snapshot.folder / file, error), crew_.fetched.contains(file)});
  }
  if (!to_folder()) cache_.set_commit(name_, listing_.commit);
  clean_up();
  return snapshot;
}

// Of a snapshot that did not come about, whole blobs stay, and parts where a later call can go on with them.
void Job::clean_up() const {
  std::error_code error;
  if (!crew_.tally.resumable && !interrupted())
    for (const fs::path& file : crew_.begun) fs::remove(partial(file), error);
  to_folder() ? folder_.remove_empty_folders() : cache_.remove_empty_folders();
}

HubSnapshot Job::run() {
  HttpClient first = client();
  const std::optional<Listing> listed = listing(first);
  if (!listed) {
    HubSnapshot here = cached_snapshot(name_, options_);
    if (options_.judge) options_.judge(read_text(here.folder / "config.json"), printable((here.folder / "config.json").string()));
    return here;
  }
  listing_ = *listed;
  const std::string checkpoint = checkpoint_file(listing_, who(name_));
  for (const ListedFile& file : listing_.files)
    if (is_small_file(file.name) || file.name == checkpoint) wanted_.push_back(file.name);
  to_folder() ? folder_.prepare() : cache_.prepare();
  try {
    bring(first, "config.json");
    if (options_.judge) options_.judge(text_of("config.json"), who(name_) + ": config.json");
    if (is_index(checkpoint)) {
      bring(first, checkpoint);
      for (std::string& shard : shards_of(text_of(checkpoint), who(name_) + ": " + checkpoint)) {
        if (listing_.find(shard) == nullptr)
          throw Error(ErrorKind::input, who(name_) + ": " + checkpoint + " names the shard '" + printable(shard) +
                                            "', which the repository does not have");
        if (std::find(wanted_.begin(), wanted_.end(), shard) == wanted_.end()) wanted_.push_back(std::move(shard));
      }
    }
    if (to_folder()) folder_.check_others({wanted_.begin(), wanted_.end()});
    bring_all(wanted_);
    return publish();
  } catch (...) {
    clean_up();
    throw;
  }
}

}  // namespace

HubSnapshot fetch_snapshot(const HubName& name, const HubOptions& options) {
  check(options);
  if (options.offline) {
    if (!options.folder.empty())
      throw Error(ErrorKind::usage, "offline, nothing can be fetched into " + printable(options.folder.string()));
    return cached_snapshot(name, options);
  }
  // A commit that is there whole cannot have changed.
  if (name.is_commit() && options.folder.empty()) {
    try {
      return cached_snapshot(name, options);
    } catch (const Error&) {  // not there, or not whole: the hub has it
    }
  }
  return Job(name, options).run();
}

HubSnapshot cached_snapshot(const HubName& name, const HubOptions& options) {
  const CachedRepository cache(options.cache, name.id);
  const std::string where = printable(options.cache.string());
  const std::string advice = "; `eaq fetch " + printable(name.id) +
                             (name.revision == "main" ? "" : " --revision " + printable(name.revision)) +
                             "` fetches it where the hub can be reached";
  HubSnapshot snapshot{name, cache.commit_of(name)};
  std::error_code error;
  if (options.cache.empty() || snapshot.commit.empty() || !fs::is_directory(cache.snapshot(snapshot.commit), error))
    throw Error(ErrorKind::unavailable, who(name) + ": is not in the cache " + where + advice);
  snapshot.folder = cache.snapshot(snapshot.commit);
  snapshot.from_cache = true;
  std::string missing;
  snapshot.files = files_of_snapshot(snapshot.folder, missing);
  if (!missing.empty())
    throw Error(ErrorKind::unavailable,
                printable(snapshot.folder.string()) + ": is not whole: '" + missing + "' is missing" + advice);
  return snapshot;
}

}  // namespace eaq
