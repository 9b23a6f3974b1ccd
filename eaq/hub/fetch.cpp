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
#include "eaq/hub/remote.h"
#include "eaq/hub/store.h"
#include "eaq/hub/transfer.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;
using namespace hub;  // NOLINT(google-build-using-namespace): this file is that namespace's front

constexpr std::chrono::milliseconds between_looks(50);

void check(const HubOptions& options) {
  if (options.cache.empty() && options.folder.empty())
    throw Error(ErrorKind::unavailable, "no folder for models: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME is set");
  if (!options.offline && origin(options.endpoint).empty())
    throw Error(ErrorKind::usage, "HF_ENDPOINT: '" + printable(options.endpoint) + "' is no http(s) address");
}

// What the hub says of the repository; nothing where it does not answer and the cache has the revision.
std::optional<Listing> ask_for_listing(HttpClient& client, const HubName& name, const HubOptions& options) {
  const std::string url = options.endpoint + "/api/models/" + name.id + "/revision/" + url_segment(name.revision) + "?blobs=true";
  Attempts attempts(options.pause, options.longest_pause, true);
  for (;;) {
    const HttpAnswer answer = client.ask({.url = url});
    if (client.stopped()) throw Error(ErrorKind::interrupted, "interrupted while fetching " + who(name));
    if (answer.failure.empty() && answer.ok()) {
      Listing listing = read_listing(answer.text, printable(answer.url));
      if (name.is_commit() && listing.commit != name.revision)
        throw Error(ErrorKind::input, who(name) + ": " + printable(options.endpoint) + " answers with commit " + listing.commit);
      return listing;
    }
    if (Attempts::worthwhile(answer) && options.folder.empty()) {
      try {
        const HubSnapshot here = cached_snapshot(name, options);
        warn("warning: " + origin(options.endpoint) + " does not answer (" +
             (answer.failure.empty() ? "status " + std::to_string(answer.status) : answer.failure) + "): " + who(name) +
             " is taken from the cache, as it was at commit " + here.commit);
        return std::nullopt;
      } catch (const Error&) {  // it is not there: try on
      }
    }
    if (!attempts.again(answer, client)) refuse(answer, name, options, "");
  }
}

// What workers and the one who shows progress have in common.
struct Crew {
  std::mutex mutex;
  std::deque<std::string> waiting;
  std::map<std::string, RemoteFile> found;  ///< by name
  std::set<std::string> fetched;
  std::vector<std::string> under_way;
  std::exception_ptr failed;
  Tally tally;
  std::atomic<bool> stop = false;
  std::atomic<int> working = 0;
};

// Threads that end before what they work on, also where an exception passes.
class Workers {
 public:
  explicit Workers(Crew& crew) : crew_(crew) {}
  ~Workers() {
    if (crew_.working > 0) crew_.stop = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  template <class Work>
  void add(Work work) {
    threads_.emplace_back([this, work] {
      work();
      --crew_.working;
    });
    ++crew_.working;
  }

 private:
  Crew& crew_;
  std::vector<std::thread> threads_;
};

class Job {
 public:
  Job(const HubName& name, const HubOptions& options, Listing listing)
      : name_(name), options_(options), listing_(std::move(listing)) {}

  HubSnapshot run();

 private:
  HttpClient client() { return HttpClient({origin(options_.endpoint), options_.token, options_.stall}, crew_.stop); }
  std::uint64_t listed_bytes(const std::string& file) const;
  void bring(HttpClient& client, const std::string& file);
  void bring_first(const std::string& checkpoint);
  void bring_all();
  void work();
  void show();
  double total_bytes() const;
  HubSnapshot publish();

  const HubName& name_;
  const HubOptions& options_;
  const Listing listing_;
  std::vector<std::string> wanted_;
  std::unique_ptr<Store> store_;
  Crew crew_;
};

std::uint64_t Job::listed_bytes(const std::string& file) const {
  const ListedFile* listed = listing_.find(file);
  return listed == nullptr ? 0 : listed->bytes.value_or(0);
}

void Job::bring(HttpClient& client, const std::string& file) {
  {
    const std::lock_guard lock(crew_.mutex);
    if (crew_.found.contains(file)) return;
    crew_.under_way.push_back(file);
  }
  const RemoteFile remote = look_up(client, name_, options_, listing_.commit, file);
  {
    const std::lock_guard lock(crew_.mutex);
    crew_.found.insert_or_assign(file, remote);
  }
  bool came = false;
  if (!store_->has(remote)) {
    const std::unique_ptr<FileLock> lock = store_->lock(remote);
    if (lock)
      wait_for(
          *lock, [&] { return client.stopped(); }, "'" + printable(file) + "' of " + who(name_));
    // Whoever held the lock may have brought it.
    if (!store_->has(remote)) {
      const fs::path to = store_->place(remote);
      transfer(client, remote, name_, options_, to, partial(to, lock && !lock->holds()), crew_.tally);
      came = true;
    }
  }
  if (!came && remote.bytes) crew_.tally.bytes += static_cast<std::int64_t>(*remote.bytes);
  const std::lock_guard lock(crew_.mutex);
  std::erase(crew_.under_way, file);
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
}

// By the listing, or by what the hub said of each file since; with the crew's lock held.
double Job::total_bytes() const {
  double total = 0;
  for (const std::string& file : wanted_) {
    const auto found = crew_.found.find(file);
    const bool told = found != crew_.found.end() && found->second.bytes;
    total += static_cast<double>(told ? *found->second.bytes : listed_bytes(file));
  }
  return total;
}

// While others work: the bar.
void Job::show() {
  Progress progress("Fetching " + who(name_), 1);
  const Seconds begun = monotonic_clock().now();
  const std::int64_t at_first = crew_.tally.arrived;
  Seconds shown = begun;
  while (crew_.working > 0) {
    std::this_thread::sleep_for(between_looks);
    const Seconds now = monotonic_clock().now();
    if (now - shown < Seconds(0.25)) continue;
    shown = now;
    const auto arrived = static_cast<double>(crew_.tally.arrived - at_first);
    char rate[48];
    std::snprintf(rate, sizeof rate, "%.1f MB/s  ", arrived / 1e6 / (now - begun).value());
    const std::lock_guard lock(crew_.mutex);
    const double total = std::max(total_bytes(), 1.0), there = static_cast<double>(crew_.tally.bytes);
    progress.count_as_given((there - arrived) / total);
    // Who began first, the largest, is who is waited for.
    progress.update(there / total, rate + (crew_.under_way.empty() ? "" : printable(crew_.under_way.front())));
  }
}

// What decides whether there is more to do: the configuration, and which shards there are.
void Job::bring_first(const std::string& checkpoint) {
  HttpClient first = client();
  bring(first, "config.json");
  if (options_.judge) options_.judge(store_->text(crew_.found.at("config.json")), "hf:" + name_.id + ": config.json");
  if (!is_index(checkpoint)) return;
  bring(first, checkpoint);
  const std::string name = who(name_) + ": " + checkpoint;
  for (std::string& shard : shards_of(store_->text(crew_.found.at(checkpoint)), name)) {
    if (listing_.find(shard) == nullptr)
      throw Error(ErrorKind::input, name + " names the shard '" + printable(shard) + "', which the repository does not have");
    wanted_.push_back(std::move(shard));
  }
}

void Job::bring_all() {
  // The largest first: the others then fill the time beside it.
  std::vector<std::string> order = wanted_;
  std::stable_sort(order.begin(), order.end(), [&](const auto& a, const auto& b) { return listed_bytes(a) > listed_bytes(b); });
  crew_.waiting.assign(order.begin(), order.end());
  {
    Workers workers(crew_);
    for (int i = 0; i < std::clamp(static_cast<int>(order.size()), 1, std::max(1, options_.connections)); ++i)
      workers.add([this] { work(); });
    show();
  }
  if (crew_.failed) std::rethrow_exception(crew_.failed);
}

HubSnapshot Job::publish() {
  std::vector<RemoteFile> files;
  files.reserve(wanted_.size());
  for (const std::string& file : wanted_) files.push_back(crew_.found.at(file));
  HubSnapshot snapshot{name_, listing_.commit, store_->publish(name_, listing_.commit, files, !crew_.fetched.empty()), {}};
  for (const std::string& file : wanted_)
    snapshot.files.push_back({file, fs::file_size(snapshot.folder / file), crew_.fetched.contains(file)});
  return snapshot;
}

HubSnapshot Job::run() {
  const std::string checkpoint = checkpoint_file(listing_, who(name_));
  for (const ListedFile& file : listing_.files)
    if (is_small_file(file.name) || file.name == checkpoint) wanted_.push_back(file.name);
  const CachedRepository cache(options_.cache, name_.id);
  store_ = options_.folder.empty() ? cache_store(cache) : folder_store(options_.folder, cache, interrupted);
  try {
    bring_first(checkpoint);
    store_->check({wanted_.begin(), wanted_.end()});
    bring_all();
    return publish();
  } catch (...) {
    store_->abandon(crew_.tally.resumable || interrupted());
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
  const std::atomic<bool> stop = false;
  HttpClient client({origin(options.endpoint), options.token, options.stall}, stop);
  if (std::optional<Listing> listing = ask_for_listing(client, name, options))
    return Job(name, options, std::move(*listing)).run();
  HubSnapshot here = cached_snapshot(name, options);
  if (options.judge) {
    const fs::path config = here.folder / "config.json";
    options.judge(read_text(config), printable(config.string()));
  }
  return here;
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
