// Files: memory-mapped input, output that appears whole or not at all, and hashes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace eaq {

/// A read-only memory map. Pages can be given back once their content has been packed elsewhere.
class MappedFile {
 public:
  /// Throws Error{input} if the file cannot be opened or mapped. An empty file maps to an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Drops the resident pages that lie wholly inside `part`; reading them again fetches them from the file.
  void release(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Writes beside the target and renames on commit(), so that a reader never sees half a file.
/// Without commit() (an exception, Ctrl-C) nothing is left behind. What is no regular file (/dev/stdout, a pipe) is written to
/// directly, never replaced.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);  ///< Error{input} where the folder cannot be written
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text);
  void write(std::span<const std::byte> bytes);  ///< Error{input} naming the file, e.g. on a full disk
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  std::FILE* file_ = nullptr;
  bool direct_ = false;
};

/// A whole file as text. Error{input} names the path; files larger than `limit` bytes are refused.
std::string read_text(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{1} << 32);

/// Writes `text` atomically.
void write_text(const std::filesystem::path& path, std::string_view text);

/// The hash of what comes in pieces.
class Digest {
 public:
  enum class Kind { sha1, sha256 };  ///< SHA-1 only where others name things by it, as git does

  explicit Digest(Kind kind);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  void restart();     ///< as if nothing had come yet
  std::string hex();  ///< lower case; ends the sum: restart() begins another

 private:
  Kind kind_;
  void* context_;
};

/// Of a whole map, giving its pages back on the way: hashing must not count as memory that a model needs.
std::string sha256(const MappedFile& file);

/// Lower-case hexadecimal SHA-256.
std::string sha256(std::span<const std::byte> bytes);
std::string sha256(std::string_view text);
std::string sha256_file(const std::filesystem::path& path);

/// `text` as valid UTF-8 on one line: control characters and invalid bytes become `\xNN`. For names from files in messages.
std::string printable(std::string_view text);

/// True if `text` is well-formed UTF-8 (no surrogates, no overlong forms).
bool is_utf8(std::string_view text);

}  // namespace eaq
