#include <unistd.h>

#include "eaq/report/report.h"
#include "eaq/study/study.h"

namespace eaq {
namespace {

bool holds_finished(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::exists(folder / "study.json", error)) return false;
  try {
    return !read_study(folder / "study.json").interrupted;
  } catch (const Error&) {
    return true;  // somebody's file, whatever it is
  }
}

std::filesystem::path free_default() {
  const std::string base = "study-" + date_local();
  std::filesystem::path folder = base;
  for (int i = 2; holds_finished(folder); ++i) folder = base + "-" + std::to_string(i);
  return folder;
}

void try_writing(const std::filesystem::path& folder) {
  AtomicFile trial(folder / ".writable");
  trial.write("x");  // never committed: it goes again
}

}  // namespace

StudyFolder::StudyFolder(const std::optional<std::filesystem::path>& named) : path_(named ? *named : free_default()) {
  if (named && holds_finished(path_))
    throw Error(ErrorKind::usage, "--out " + printable(path_.string()) +
                                      ": holds a finished study, which is not overwritten; name another folder, or remove it");
  std::error_code error;
  made_ = std::filesystem::create_directories(path_, error);
  if (error || !std::filesystem::is_directory(path_))
    throw Error(ErrorKind::input, "--out " + printable(path_.string()) + ": cannot be made a folder" +
                                      (error ? ": " + error.message() : ", there is a file of that name"));
  try {
    try_writing(path_);
  } catch (...) {
    if (made_) std::filesystem::remove(path_, error);
    throw;
  }
}

StudyFolder::~StudyFolder() {
  std::error_code error;
  if (made_) std::filesystem::remove(path_, error);  // only where it is empty
}

std::vector<std::string> StudyFolder::write(const StudyOutcome& outcome) const {
  std::vector<std::string> names{"study.json", "study.md", "study.csv"};
  write_text(path_ / "study.md", markdown_report(outcome.study));
  write_text(path_ / "study.csv", csv_table(outcome.study));
  if (!outcome.visits.empty()) {
    write_visits(path_ / "visits.csv", outcome.visits);
    names.emplace_back("visits.csv");
    write_samples(path_ / "samples.csv.zst", outcome.samples);
    names.emplace_back("samples.csv.zst");
  }
  write_text(path_ / "study.json", to_json(outcome.study));
  return names;
}

}  // namespace eaq
