// Any bytes as a safetensors file: refused with Error{input}, or every tensor lies inside them.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "eaq/base/base.h"
#include "eaq/container/container.h"
#include "eaq/container/safetensors/header.h"

namespace {

// Through a file as well: the map's end is where a wrong offset is punished.
void open_as_file(const std::uint8_t* bytes, std::size_t size) {
  const int fd = ::memfd_create("eaq-fuzz", 0);
  if (fd < 0 || ::write(fd, bytes, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string link = "/tmp/eaq-fuzz-" + std::to_string(::getpid()) + ".safetensors";
  ::unlink(link.c_str());
  if (::symlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), link.c_str()) != 0) std::abort();
  unsigned sum = 0;
  try {
    const auto file = eaq::open_checkpoint(link);
    for (const std::string& name : file->names()) {
      try {
        const auto view = file->tensor(name).bytes();
        if (!view.empty()) sum += static_cast<unsigned>(view.front()) + static_cast<unsigned>(view.back());
        file->release(name);
      } catch (const eaq::Error& e) {
        if (e.kind() != eaq::ErrorKind::input) std::abort();
      }
    }
    if (file->total_bytes() > size) std::abort();
  } catch (const eaq::Error& e) {
    if (e.kind() != eaq::ErrorKind::input || !eaq::is_utf8(e.what())) std::abort();
  }
  [[maybe_unused]] volatile unsigned kept = sum;
  ::unlink(link.c_str());
  ::close(fd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto header = eaq::safetensors::parse_header(std::as_bytes(std::span(data, size)), "fuzz");
    std::uint64_t covered = 0;
    for (const auto& e : header.entries) covered += e.end - e.begin;
    if (header.data_begin + covered != size) std::abort();
    open_as_file(data, size);
  } catch (const eaq::Error& e) {
    if (e.kind() != eaq::ErrorKind::input || !eaq::is_utf8(e.what())) std::abort();
  }
  return 0;
}
