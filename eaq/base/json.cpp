#include "eaq/base/json.h"

#include <cmath>
#include <set>
#include <vector>

#include "eaq/base/error.h"
#include "eaq/base/file.h"

namespace eaq {
namespace {

[[noreturn]] void fail(std::string_view name, const std::string& what) {
  throw Error(ErrorKind::input, printable(name) + ": " + what);
}

// Builds the document while it watches depth and duplicate keys, which nlohmann's own builder lets pass.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view name, const JsonLimits& limits) : name_(name), limits_(limits) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(v); }
  bool number_unsigned(number_unsigned_t v) override { return add(v); }
  bool number_float(number_float_t v, const string_t&) override { return add(v); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& k) override {
    if (!keys_.back().insert(k).second) fail(name_, "the key '" + printable(k) + "' stands twice in one object");
    key_ = std::move(k);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    // nlohmann's own text quotes the input; ours must stay one valid line.
    std::string text = e.what();
    if (const auto end = text.find("; last read"); end != std::string::npos) text.resize(end);
    fail(name_, "not valid JSON at byte " + std::to_string(position) + ": " + printable(text));
  }

 private:
  Json* place(Json value) {
    if (stack_.empty()) return root_ = std::move(value), &root_;
    Json& parent = *stack_.back();
    if (parent.is_array()) return parent.push_back(std::move(value)), &parent.back();
    // ordered_json searches linearly on operator[]; the key is known to be new, so append.
    auto& members = parent.get_ref<Json::object_t&>();
    members.push_back({std::move(key_), std::move(value)});
    return &members.back().second;
  }
  bool add(Json value) { return place(std::move(value)), true; }
  bool open(Json empty) {
    if (static_cast<int>(stack_.size()) >= limits_.depth)
      fail(name_, "nested deeper than " + std::to_string(limits_.depth) + " levels");
    stack_.push_back(place(std::move(empty)));
    keys_.emplace_back();
    return true;
  }
  bool close() { return stack_.pop_back(), keys_.pop_back(), true; }

  std::string_view name_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Json*> stack_;  // open containers; a parent does not grow while a child is open, so the pointers hold
  std::vector<std::set<std::string, std::less<>>> keys_;
  std::string key_;
};

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

template <class T>
T convert(const Json& value, std::string_view key, std::string_view name) {
  const std::string where = "'" + printable(key) + "' ";
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) fail(name, where + "must be true or false");
    return value.get<bool>();
  } else if constexpr (std::is_same_v<T, int>) {
    if (!value.is_number()) fail(name, where + "must be an integer");
    const double v = value.get<double>();
    if (v != std::floor(v) || std::abs(v) > 2147483647.0) fail(name, where + "must be an integer that fits in 32 bits");
    return static_cast<int>(v);
  } else if constexpr (std::is_same_v<T, double>) {
    if (!value.is_number()) fail(name, where + "must be a number");
    return value.get<double>();
  } else {
    if (!value.is_string()) fail(name, where + "must be a string");
    return value.get<std::string>();
  }
}

}  // namespace

Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    fail(name, "JSON of " + std::to_string(text.size()) + " bytes, at most " + std::to_string(limits.bytes) + " are read");
  if (const auto nul = text.find('\0'); nul != std::string_view::npos)
    fail(name, "a NUL byte at byte " + std::to_string(nul) + " of the JSON");
  if (!is_utf8(text)) fail(name, "the JSON is not valid UTF-8");
  Builder builder(name, limits);
  if (!Json::sax_parse(text, &builder)) fail(name, "not valid JSON");
  return builder.take();
}

Json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_text(path, limits.bytes), path.string(), limits);
}

template <class T>
T get(const Json& object, std::string_view key, std::string_view name) {
  const Json* value = find(object, key);
  if (value == nullptr) fail(name, "'" + printable(key) + "' is missing");
  return convert<T>(*value, key, name);
}

template <class T>
T get_or(const Json& object, std::string_view key, std::string_view name, T fallback) {
  const Json* value = find(object, key);
  return value == nullptr || value->is_null() ? fallback : convert<T>(*value, key, name);
}

template bool get<bool>(const Json&, std::string_view, std::string_view);
template int get<int>(const Json&, std::string_view, std::string_view);
template double get<double>(const Json&, std::string_view, std::string_view);
template std::string get<std::string>(const Json&, std::string_view, std::string_view);
template bool get_or<bool>(const Json&, std::string_view, std::string_view, bool);
template int get_or<int>(const Json&, std::string_view, std::string_view, int);
template double get_or<double>(const Json&, std::string_view, std::string_view, double);
template std::string get_or<std::string>(const Json&, std::string_view, std::string_view, std::string);

}  // namespace eaq
