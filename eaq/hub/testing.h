// For tests: a hub of their own on the loopback address (testing/hub_server.py), and what it was asked for.
#pragma once

#include "eaq/base/json.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "eaq/hub/hub.h"

namespace eaq::hub {

/// A folder of this test's own, gone with this object.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "eaq-hub-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Writes a file and the folders that it needs.
inline void put(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::create_directories(file.parent_path());
  write_text(file, text);
}

/// The kind of Error that `work` throws, and its message; ErrorKind::bug where it throws none.
inline ErrorKind kind_of(const std::function<void()>& work, std::string* message = nullptr) {
  try {
    work();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.kind();
  }
  return ErrorKind::bug;  // nothing was thrown
}

inline std::string error_of(const std::function<void()>& work) {
  std::string message;
  kind_of(work, &message);
  return message;
}

class TestHub {
 public:
  /// Serves the repositories in `root`, with faults as hub_server.py names them ("drop=1000").
  TestHub(const std::filesystem::path& root, const std::vector<std::string>& faults = {}) : log_(root / "log") {
    const std::string server = EAQ_SOURCE_DIR "/eaq/hub/testing/hub_server.py";
    std::vector<std::string> command{"python3", server, root.string(), "--log", log_.string()};
    for (const std::string& fault : faults) command.insert(command.end(), {"--fault", fault});
    int in[2], out[2];
    if (::pipe(in) != 0 || ::pipe(out) != 0) throw std::runtime_error("no pipe");
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(in[0], 0), ::dup2(out[1], 1);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      std::vector<char*> words;
      for (std::string& word : command) words.push_back(word.data());
      words.push_back(nullptr);
      ::execvp(words[0], words.data());
      ::_exit(127);
    }
    ::close(in[0]), ::close(out[1]);
    life_ = in[1];
    std::FILE* said = ::fdopen(out[0], "r");
    char hub[256] = "", cdn[256] = "";
    const bool serves = std::fscanf(said, "%255s %255s", hub, cdn) == 2;
    std::fclose(said);
    if (!serves) throw std::runtime_error("hub_server.py does not serve (python3 is needed)");
    endpoint = hub, store = cdn;
  }
  ~TestHub() {
    ::close(life_);
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  TestHub(const TestHub&) = delete;
  TestHub& operator=(const TestHub&) = delete;

  std::string endpoint, store;  ///< the hub's origin, and that of the host with large files

  struct Request {
    std::string host, method, path, range, token;
  };
  std::vector<Request> requests() const {
    std::vector<Request> all;
    std::error_code error;
    if (!std::filesystem::exists(log_, error)) return all;
    const std::string text = read_text(log_);
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      const Json line = parse_json(std::string_view(text).substr(at, end - at), "log");
      all.push_back({line["host"], line["method"], line["path"], line["range"], line["token"]});
    }
    return all;
  }

 private:
  std::filesystem::path log_;
  pid_t child_ = -1;
  int life_ = -1;
};

}  // namespace eaq::hub
