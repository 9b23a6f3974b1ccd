// For tests: a hub of their own on the loopback address (testing/hub_server.py), and what it was asked for.
#pragma once

#include "eaq/base/json.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
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

/// A configuration that nobody here judges.
inline const std::string config = R"({"model_type": "gpt2"})";

// A repository with a small file, a large one and one that eaq does not read.
class Hub : public testing::Test {
 protected:
  Hub() {
    const std::filesystem::path model = folder_ / "root" / "me" / "model";
    put(model / "config.json", config);
    put(model / "tokenizer.json", "{}");
    put(model / "README.md", "Words.");
    put(model / "onnx" / "model.onnx", "not wanted");
    put(model / "model.safetensors", weights_);
  }

  void serve(const std::vector<std::string>& faults = {}) { hub_.emplace(folder_ / "root", faults); }

  HubOptions options() const {
    HubOptions options;
    options.endpoint = hub_ ? hub_->endpoint : "http://127.0.0.1:1";
    options.cache = folder_ / "cache";
    options.pause = Seconds(0.001);
    return options;
  }

  HubSnapshot fetch(const std::function<void(HubOptions&)>& change = {}) const {
    HubOptions chosen = options();
    if (change) change(chosen);
    return fetch_snapshot({"me/model"}, chosen);
  }

  std::filesystem::path repository() const { return folder_ / "cache" / "models--me--model"; }

  // What lies in the repository's folder of the cache, but for folders.
  std::vector<std::string> left() const {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(repository(), error))
      if (!entry.is_directory() || entry.is_symlink())
        files.push_back(std::filesystem::relative(entry.path().parent_path(), repository()) / entry.path().filename());
    std::sort(files.begin(), files.end());
    return files;
  }

  int requests(const std::string& host, const std::string& method) const {
    int count = 0;
    for (const auto& request : hub_->requests()) count += request.host == host && request.method == method ? 1 : 0;
    return count;
  }

  TestFolder folder_;
  std::string weights_ = [] {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += std::to_string(i * 7919 % 100'003);
    return text;
  }();
  std::optional<TestHub> hub_;
};

}  // namespace eaq::hub
