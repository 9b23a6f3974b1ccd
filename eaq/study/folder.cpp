#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "eaq/report/report.h"
#include "eaq/study/study.h"

namespace eaq {
namespace {

std::string word(ResultFolder::Kind kind) { return kind == ResultFolder::Kind::study ? "study" : "profile"; }

// The lock is on the folder itself, so that nothing is left behind, and the system lets go of it however the process ends.
enum class Lock { taken, held_by_another, replaced };

Lock lock(const std::filesystem::path& folder, int& descriptor) {
  descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) return Lock::replaced;
    throw Error(ErrorKind::input, "--out " + printable(folder.string()) + ": cannot be opened: " + std::strerror(errno));
  }
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      ::close(std::exchange(descriptor, -1));
      return Lock::held_by_another;
    }
    // Some network file systems lock no folders.
    warn("note: " + printable(folder.string()) + " cannot be locked (" + std::strerror(errno) +
         "); see to it that nothing else writes there");
    return Lock::taken;
  }
  // One that failed meanwhile may have taken its empty folder away, and another made a new one.
  struct stat locked {
  }, named{};
  if (::fstat(descriptor, &locked) == 0 && ::stat(folder.c_str(), &named) == 0 && locked.st_ino == named.st_ino &&
      locked.st_dev == named.st_dev)
    return Lock::taken;
  ::close(std::exchange(descriptor, -1));
  return Lock::replaced;
}

void try_writing(const std::filesystem::path& folder) {
  AtomicFile trial(folder / ".writable");
  trial.write("x");  // never committed: it goes again
}

}  // namespace

ResultFolder::ResultFolder(const std::optional<std::filesystem::path>& named, Kind kind, bool goes_on)
    : kind_(kind), goes_on_(goes_on) {
  if (named) {
    if (const std::string why = take(*named); !why.empty())
      throw Error(ErrorKind::usage, "--out " + printable(named->string()) + ": " + why);
    return;
  }
  const std::string base = word(kind_) + "-" + date_local();
  for (int i = 1; !take(i == 1 ? base : base + "-" + std::to_string(i)).empty();) ++i;
}

bool ResultFolder::holds_finished(const std::filesystem::path& folder) const {
  std::error_code error;
  const auto file = folder / (word(kind_) + ".json");
  if (goes_on_ || !std::filesystem::exists(file, error)) return false;
  try {
    return kind_ == Kind::study ? !read_study(file).interrupted : !read_profile(file).interrupted;
  } catch (const Error&) {
    return true;  // somebody's file, whatever it is
  }
}

std::string ResultFolder::take(const std::filesystem::path& folder) {
  std::string finished = "holds a finished " + word(kind_) + ", which is not overwritten; name another folder, or remove it";
  if (holds_finished(folder)) return finished;
  Lock state = Lock::replaced;
  std::error_code error;
  while (state == Lock::replaced) {
    made_ = std::filesystem::create_directories(folder, error);
    if (error || !std::filesystem::is_directory(folder))
      throw Error(ErrorKind::input, "--out " + printable(folder.string()) + ": cannot be made a folder" +
                                        (error ? ": " + error.message() : ", there is a file of that name"));
    state = lock(folder, lock_);
  }
  if (state == Lock::held_by_another) {
    made_ = false;
    return "another " + word(kind_) + " is running that writes there; name another folder, or wait for its end";
  }
  // The one before may have finished between the first look and the lock.
  if (holds_finished(folder)) {
    release();
    return finished;
  }
  try {
    try_writing(folder);
  } catch (...) {
    if (made_) std::filesystem::remove(folder, error);
    release();
    throw;
  }
  path_ = folder;
  return "";
}

void ResultFolder::release() {
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

ResultFolder::~ResultFolder() {
  std::error_code error;
  if (made_) std::filesystem::remove(path_, error);  // only where it is empty
  release();
}

std::vector<std::string> ResultFolder::write(const StudyOutcome& outcome) const {
  std::vector<std::string> names{"study.json", "study.md", "study.csv"};
  write_text(path_ / "study.md", markdown_report(outcome.study));
  write_text(path_ / "study.csv", csv_table(outcome.study));
  if (!outcome.visits.empty()) {
    write_visits(path_ / "visits.csv", outcome.visits);
    names.emplace_back("visits.csv");
    write_samples(path_ / "samples.csv.zst", outcome.samples);
    names.emplace_back("samples.csv.zst");
  }
  const PageInput page = page_input(printable((path_ / "study.json").string()), outcome.study, outcome.samples, outcome.visits);
  write_text(path_ / page_name, html_page({page}, {}));
  names.emplace_back(page_name);
  write_text(path_ / "study.json", to_json(outcome.study));
  return names;
}

std::vector<std::string> ResultFolder::write(const WeighingRecord& record) const {
  const std::string way(name_of(record.way));
  std::vector<std::string> names{"visits-" + way + ".csv"};
  write_visits(path_ / names.back(), record.visits);
  if (record.samples.zones.empty()) return names;
  names.push_back("samples-" + way + ".csv.zst");
  write_samples(path_ / names.back(), record.samples);
  return names;
}

std::vector<std::string> ResultFolder::write(const ProfileOutcome& outcome) const {
  std::vector<std::string> names{"profile.json", "profile.md", "profile.csv"};
  for (const WeighingRecord& record : outcome.weighings)
    for (std::string& name : write(record)) names.push_back(std::move(name));
  write_text(path_ / "profile.md", markdown_profile(outcome.profile));
  write_text(path_ / "profile.csv", csv_sites(outcome.profile));
  // An earlier call's samples are there, too.
  const PageInput page = page_input(printable((path_ / "profile.json").string()), outcome.profile, path_);
  write_text(path_ / page_name, html_page({page}, {}));
  names.emplace_back(page_name);
  write_text(path_ / "profile.json", to_json(outcome.profile));
  return names;
}

}  // namespace eaq
