#include "eaq/base/file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "eaq/base/error.h"

namespace eaq {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int code) {
  throw Error(ErrorKind::input, printable(path.string()) + ": " + what + ": " + std::strerror(code));
}

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::filesystem::path& path, int flags = 0)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)) {
    if (fd_ < 0) fail(path, "cannot open", errno);
  }
  ~FileDescriptor() { ::close(fd_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string hex(const unsigned char* bytes, std::size_t n) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < n; ++i) {
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}

// Length of the well-formed UTF-8 sequence at the start of `s`, 0 if there is none (Unicode 15, table 3-7).
std::size_t utf8_length(std::string_view s) {
  auto at = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  auto tail = [&](std::size_t i) { return at(i) >= 0x80 && at(i) <= 0xBF; };
  const unsigned b0 = at(0), b1 = at(1);
  if (b0 < 0x80) return s.empty() ? 0 : 1;
  if (b0 >= 0xC2 && b0 <= 0xDF) return tail(1) ? 2 : 0;
  if (b0 >= 0xE0 && b0 <= 0xEF) {
    const unsigned low = b0 == 0xE0 ? 0xA0 : 0x80, high = b0 == 0xED ? 0x9F : 0xBF;
    return b1 >= low && b1 <= high && tail(2) ? 3 : 0;
  }
  if (b0 >= 0xF0 && b0 <= 0xF4) {
    const unsigned low = b0 == 0xF0 ? 0x90 : 0x80, high = b0 == 0xF4 ? 0x8F : 0xBF;
    return b1 >= low && b1 <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const FileDescriptor file(path, O_NONBLOCK);  // a pipe must be refused, not waited for
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail(path, "cannot read its size", errno);
  if (!S_ISREG(info.st_mode)) throw Error(ErrorKind::input, printable(path.string()) + ": not a regular file");
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (map == MAP_FAILED) fail(path, "cannot map", errno);
  data_ = static_cast<const std::byte*>(map);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

void MappedFile::release(std::span<const std::byte> part) const {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page;
  const auto last = (reinterpret_cast<std::uintptr_t>(part.data()) + part.size()) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  std::error_code error;
  const auto status = std::filesystem::status(target_, error);
  if (std::filesystem::is_directory(status)) fail(target_, "cannot write", EISDIR);
  direct_ = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  if (!direct_) {
    // A link stays one: what it points to is replaced.
    if (std::filesystem::exists(status)) target_ = std::filesystem::canonical(target_, error);
    static std::atomic<unsigned> count = 0;  // threads may write the same target at the same time
    temporary_ = target_;
    temporary_ += "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".part";
  }
  file_ = std::fopen(direct_ ? target_.c_str() : temporary_.c_str(), "wbe");
  if (file_ == nullptr) fail(target_, "cannot write", errno);
}

AtomicFile::~AtomicFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  if (!direct_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail(target_, "cannot write", errno);
}

void AtomicFile::commit() {
  // A full disk shows at the latest here: flush and sync before the name changes.
  if (std::fflush(file_) != 0 || (!direct_ && ::fsync(::fileno(file_)) != 0)) fail(target_, "cannot write", errno);
  std::fclose(std::exchange(file_, nullptr));
  if (direct_ || std::rename(temporary_.c_str(), target_.c_str()) == 0) return;
  const int code = errno;
  ::unlink(temporary_.c_str());
  fail(target_, "cannot rename into place", code);
}

std::string read_text(const std::filesystem::path& path, std::uint64_t limit) {
  const FileDescriptor file(path);
  struct stat info {};
  if (::fstat(file.get(), &info) == 0 && S_ISDIR(info.st_mode))
    throw Error(ErrorKind::input, printable(path.string()) + ": is a folder");
  std::string text;
  std::array<char, 1 << 16> block;
  for (;;) {
    const ssize_t n = ::read(file.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, "cannot read", errno);
    if (n == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(n));
    if (text.size() > limit)
      throw Error(ErrorKind::input, printable(path.string()) + ": larger than the " + std::to_string(limit) + " bytes allowed");
  }
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

Digest::Digest(Kind kind) : kind_(kind), context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) throw std::bad_alloc();
  restart();
}

Digest::~Digest() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Digest::restart() {
  if (EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), kind_ == Kind::sha1 ? EVP_sha1() : EVP_sha256(), nullptr) != 1)
    throw Error(ErrorKind::bug, "OpenSSL cannot hash");
}

void Digest::update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) != 1)
    throw Error(ErrorKind::bug, "OpenSSL cannot hash");
}

std::string Digest::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned length = 0;
  if (EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), sum.data(), &length) != 1)
    throw Error(ErrorKind::bug, "OpenSSL cannot hash");
  return eaq::hex(sum.data(), length);
}

std::string sha256(std::span<const std::byte> bytes) {
  Digest sum(Digest::Kind::sha256);
  sum.update(bytes);
  return sum.hex();
}

std::string sha256(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

std::string sha256(const MappedFile& file) {
  constexpr std::size_t step = std::size_t{4} << 20;
  Digest sum(Digest::Kind::sha256);
  for (auto rest = file.bytes(); !rest.empty();) {
    const auto part = rest.first(std::min(step, rest.size()));
    sum.update(part);
    file.release(part);
    rest = rest.subspan(part.size());
  }
  return sum.hex();
}

std::string sha256_file(const std::filesystem::path& path) { return sha256(MappedFile(path)); }

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t n = utf8_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    // C0 and C1 controls would reach the terminal as commands.
    const bool control = byte < 0x20 || byte == 0x7F || (byte == 0xC2 && n == 2 && static_cast<unsigned char>(text[1]) < 0xA0);
    if (n == 0 || control) {
      for (std::size_t i = 0; i < std::max<std::size_t>(n, 1); ++i) {
        const auto b = static_cast<unsigned char>(text[i]);
        out += "\\x" + hex(&b, 1);
      }
    } else {
      out += text.substr(0, n);
    }
    text.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return out;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    // Most text is ASCII: eight bytes at a time.
    std::uint64_t word = 0;
    while (text.size() >= sizeof word) {
      std::memcpy(&word, text.data(), sizeof word);
      if ((word & 0x8080808080808080u) != 0) break;
      text.remove_prefix(sizeof word);
    }
    if (text.empty()) break;
    const std::size_t n = utf8_length(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

}  // namespace eaq
