#include "eaq/container/safetensors/header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "eaq/base/base.h"
#include "eaq/base/json.h"

namespace eaq::safetensors {
namespace {

// In the reference library's order, which is that of alignment.
constexpr std::array<Type, 22> types{{{"BOOL", 8, true, DType::boolean},
                                      {"F4", 4, false, {}},
                                      {"F6_E2M3", 6, false, {}},
                                      {"F6_E3M2", 6, false, {}},
                                      {"U8", 8, true, DType::u8},
                                      {"I8", 8, true, DType::i8},
                                      {"F8_E5M2", 8, true, DType::f8_e5m2},
                                      {"F8_E4M3", 8, true, DType::f8_e4m3},
                                      {"F8_E8M0", 8, false, {}},
                                      {"F8_E4M3FNUZ", 8, false, {}},
                                      {"F8_E5M2FNUZ", 8, false, {}},
                                      {"I16", 16, true, DType::i16},
                                      {"U16", 16, true, DType::u16},
                                      {"F16", 16, true, DType::f16},
                                      {"BF16", 16, true, DType::bf16},
                                      {"I32", 32, true, DType::i32},
                                      {"U32", 32, true, DType::u32},
                                      {"F32", 32, true, DType::f32},
                                      {"C64", 64, false, {}},
                                      {"F64", 64, true, DType::f64},
                                      {"I64", 64, true, DType::i64},
                                      {"U64", 64, true, DType::u64}}};

constexpr int deepest_ignored_value = 64;

[[noreturn]] void fail(std::string_view file, const std::string& what) {
  throw Error(ErrorKind::input, printable(file) + ": " + what);
}

std::string named(std::string_view name) {
  // A hostile name may have megabytes.
  constexpr std::size_t most = 200;
  return "'" + printable(name.substr(0, most)) + (name.size() > most ? "..." : "") + "'";
}

std::string brief(const Shape& shape) {
  constexpr std::size_t most = 16;
  if (shape.size() <= most) return to_string(shape);
  return to_string(Shape(shape.begin(), shape.begin() + most)) + " and " + std::to_string(shape.size() - most) + " more";
}

std::string text(std::uint64_t number) { return std::to_string(number); }

std::uint64_t saturating_sum(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

// Takes the header's events as they come: no document is built, so that 100 MB of JSON cost no more than their entries.
class Reader final : public nlohmann::json_sax<Json> {
 public:
  Reader(std::string_view file, Header& header) : file_(file), header_(header) {}

  bool null() override {
    if (place_ == Place::root && is_metadata_) return true;  // the reference library takes null for absent
    return value("null");
  }
  bool boolean(bool) override { return value("true or false"); }
  bool number_integer(number_integer_t v) override { return value("the number " + std::to_string(v)); }
  bool number_float(number_float_t, const string_t& digits) override { return value("the number " + digits.substr(0, 40)); }
  bool binary(binary_t&) override { return value("binary data"); }

  bool number_unsigned(number_unsigned_t v) override {
    if (place_ == Place::shape) {
      if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fail(file_, name() + " has a dimension of " + text(v) + ", which is too large");
      entry().shape.push_back(static_cast<std::int64_t>(v));
      return true;
    }
    if (place_ == Place::offsets) {
      if (offsets_ < 2) (offsets_ == 0 ? entry().begin : entry().end) = v;
      ++offsets_;
      return true;
    }
    return value("the number " + text(v));
  }

  bool string(string_t& v) override {
    if (place_ == Place::metadata) {
      if (!header_.metadata.emplace(std::move(key_), std::move(v)).second)
        fail(file_, "a key stands twice in '" + std::string(metadata_key) + "'");
      return true;
    }
    if (place_ == Place::tensor && field_ == Field::dtype) {
      entry().type = find_type(v);
      if (entry().type == nullptr) fail(file_, name() + " has the dtype " + named(v) + ", which safetensors does not have");
      return true;
    }
    return value("text");
  }

  bool key(string_t& k) override {
    if (place_ == Place::root) {
      is_metadata_ = k == metadata_key;
      if (is_metadata_ && std::exchange(seen_metadata_, true)) fail(file_, "'" + k + "' stands twice");
      if (!is_metadata_) header_.entries.emplace_back().name = std::move(k);
    } else if (place_ == Place::tensor) {
      field_ = k == "dtype" ? Field::dtype : k == "shape" ? Field::shape : k == "data_offsets" ? Field::offsets : Field::other;
      const unsigned bit = 1u << static_cast<unsigned>(field_);
      if (field_ != Field::other && (fields_ & bit) != 0) fail(file_, name() + " has two entries '" + k + "'");
      fields_ |= bit;
    } else {
      key_ = std::move(k);
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) return place_ = Place::root, true;
    if (place_ == Place::root) {
      place_ = is_metadata_ ? Place::metadata : Place::tensor;
      fields_ = 0;
      return true;
    }
    return open("an object");
  }

  bool end_object() override {
    if (place_ == Place::ignored) return close();
    if (place_ == Place::tensor) require_fields();
    place_ = place_ == Place::root ? Place::outside : Place::root;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && field_ == Field::shape) return place_ = Place::shape, true;
    if (place_ == Place::tensor && field_ == Field::offsets) return place_ = Place::offsets, offsets_ = 0, true;
    return open("a list");
  }

  bool end_array() override {
    if (place_ == Place::ignored) return close();
    if (place_ == Place::offsets && offsets_ != 2)
      fail(file_, name() + " has " + text(offsets_) + " data_offsets, there must be two");
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    std::string what = e.what();  // quotes the input after "; last read"
    if (const auto end = what.find("; last read"); end != std::string::npos) what.resize(end);
    if (const auto start = what.find("] "); start != std::string::npos) what.erase(0, start + 2);
    fail(file_, "the header is not valid JSON at its byte " + text(position) + ": " + printable(what));
  }

 private:
  enum class Place { outside, root, metadata, tensor, shape, offsets, ignored };
  enum class Field : unsigned { dtype, shape, offsets, other };

  Entry& entry() { return header_.entries.back(); }
  std::string name() { return named(entry().name); }

  // A value where only other kinds are allowed, unless it belongs to a key that the format does not name: those are passed over.
  bool value(const std::string& what) {
    switch (place_) {
      case Place::ignored:
        return true;
      case Place::outside:
        fail(file_, "the header is " + what + ", not an object");
      case Place::metadata:
        fail(file_, "'" + std::string(metadata_key) + "' holds " + what + " for " + named(key_) + ", only text is allowed");
      case Place::root:
        if (is_metadata_) fail(file_, "'" + std::string(metadata_key) + "' is " + what + ", not an object");
        fail(file_, name() + " is " + what + ", not an object");
      case Place::shape:
        fail(file_, name() + " has " + what + " in its shape, dimensions are integers of 0 or more");
      case Place::offsets:
        fail(file_, name() + " has " + what + " in its data_offsets, these are two integers of 0 or more");
      case Place::tensor:
        break;
    }
    if (field_ == Field::other) return true;
    fail(file_, name() + " has " + what + " as its " +
                    (field_ == Field::dtype   ? "dtype"
                     : field_ == Field::shape ? "shape"
                                              : "data_offsets"));
  }

  bool open(const std::string& what) {
    const bool other = place_ == Place::tensor && field_ == Field::other;
    if (!other && place_ != Place::ignored) return value(what);
    if (++ignored_depth_ > deepest_ignored_value)
      fail(file_, name() + " is nested deeper than " + std::to_string(deepest_ignored_value) + " levels");
    place_ = Place::ignored;
    return true;
  }
  bool close() {
    if (--ignored_depth_ == 0) place_ = Place::tensor;
    return true;
  }

  void require_fields() {
    static constexpr std::array names{"dtype", "shape", "data_offsets"};
    for (unsigned i = 0; i < names.size(); ++i)
      if ((fields_ & (1u << i)) == 0) fail(file_, name() + " has no " + names[i]);
  }

  std::string_view file_;
  Header& header_;
  Place place_ = Place::outside;
  Field field_ = Field::other;
  unsigned fields_ = 0;   // of the tensor at hand, one bit each
  unsigned offsets_ = 0;  // numbers seen in data_offsets
  int ignored_depth_ = 0;
  bool is_metadata_ = false, seen_metadata_ = false;
  std::string key_;
};

std::string_view find_header(std::span<const std::byte> bytes, std::string_view file) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (all.starts_with("version https://git-lfs"))
    fail(file, "is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`");
  if (all.size() < 8) fail(file, "has " + text(all.size()) + " bytes, a safetensors file has at least 8");
  std::uint64_t n = 0;
  std::memcpy(&n, all.data(), sizeof n);
  if (n > max_header)
    fail(file,
         "announces a header of " + text(n) + " bytes, at most " + text(max_header) + " are read (is it a safetensors file?)");
  if (n > all.size() - 8) fail(file, "the header ends at byte " + text(n + 8) + ", the file has " + text(all.size()));
  const std::string_view header = all.substr(8, n);
  if (n == 0 || header[0] != '{') fail(file, "the header of " + text(n) + " bytes does not begin with '{'");
  if (const auto nul = header.find('\0'); nul != header.npos) fail(file, "a NUL byte at byte " + text(nul) + " of the header");
  if (!is_utf8(header)) fail(file, "the header is not valid UTF-8");
  return header;
}

void check_size(const Entry& e, std::string_view file) {
  if (e.begin > e.end)
    fail(file, named(e.name) + " begins at byte " + text(e.begin) + " of the data and ends before it, at " + text(e.end));
  std::uint64_t count = 1, bits = 0;
  bool overflow = false;
  for (const std::int64_t d : e.shape) overflow |= __builtin_mul_overflow(count, static_cast<std::uint64_t>(d), &count);
  overflow |= __builtin_mul_overflow(count, std::uint64_t{e.type->bits}, &bits);
  const std::string what = " is " + brief(e.shape) + " of " + std::string(e.type->name);
  if (overflow) fail(file, named(e.name) + what + ", which is larger than any file");
  if (bits % 8 != 0) fail(file, named(e.name) + what + ", which is no whole number of bytes");
  if (bits / 8 != e.end - e.begin)
    fail(file, named(e.name) + what + " and needs " + text(bits / 8) + " bytes, its data_offsets span " + text(e.end - e.begin));
}

// The data must be covered exactly once.
void check_cover(const Header& header, std::uint64_t file_size, std::string_view file) {
  std::vector<const Entry*> order;
  order.reserve(header.entries.size());
  for (const Entry& e : header.entries) order.push_back(&e);
  std::sort(order.begin(), order.end(),
            [](const Entry* a, const Entry* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
  const std::uint64_t available = file_size - header.data_begin;
  const Entry* previous = nullptr;
  std::uint64_t expected = 0;
  for (const Entry* e : order) {
    if (e->end > available)
      fail(file, named(e->name) + " ends at byte " + text(saturating_sum(header.data_begin, e->end)) + ", the file has " +
                     text(file_size));
    if (e->begin < expected)
      fail(file, named(e->name) + " begins at byte " + text(e->begin) + " of the data, inside " + named(previous->name) +
                     ", which ends at " + text(expected));
    if (e->begin > expected)
      fail(file, "bytes " + text(expected) + " to " + text(e->begin) + " of the data, before " + named(e->name) +
                     ", belong to no tensor");
    expected = e->end;
    previous = e;
  }
  if (expected != available)
    fail(file, "the tensors end at byte " + text(header.data_begin + expected) + ", the file has " + text(file_size));
}

}  // namespace

const Type* find_type(std::string_view name) {
  const auto it = std::find_if(types.begin(), types.end(), [&](const Type& t) { return t.name == name; });
  return it == types.end() ? nullptr : &*it;
}

int rank_of(DType dtype) {
  const auto it = std::find_if(types.begin(), types.end(), [&](const Type& t) { return t.known && t.dtype == dtype; });
  return static_cast<int>(it - types.begin());
}

const Entry* Header::find(std::string_view name) const {
  const auto it = std::lower_bound(entries.begin(), entries.end(), name,
                                   [](const Entry& e, std::string_view wanted) { return e.name < wanted; });
  return it != entries.end() && it->name == name ? &*it : nullptr;
}

Header parse_header(std::span<const std::byte> bytes, std::string_view file) {
  const std::string_view json = find_header(bytes, file);
  Header header;
  header.data_begin = 8 + json.size();
  Reader reader(file, header);
  if (!Json::sax_parse(json, &reader)) fail(file, "the header is not valid JSON");
  std::sort(header.entries.begin(), header.entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(header.entries.begin(), header.entries.end(),
                                        [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice != header.entries.end()) fail(file, named(twice->name) + " stands twice in the header");
  for (const Entry& e : header.entries) check_size(e, file);
  check_cover(header, bytes.size(), file);
  return header;
}

}  // namespace eaq::safetensors
