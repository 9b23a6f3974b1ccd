#include "eaq/text/post_processor.h"

#include <limits>

#include "eaq/base/base.h"
#include "eaq/base/json.h"

namespace eaq::text {
namespace {

using IdOf = std::function<std::optional<std::int32_t>(std::string_view)>;

struct Around {
  std::vector<std::int32_t> before, behind;
};

class Reader {
 public:
  Reader(const std::string& file, const IdOf& id_of) : file_(file), id_of_(id_of) {}

  Around read(const Json& section) const {
    if (section.is_null()) return {};
    const auto type = get<std::string>(section, "type", file_);
    if (type == "ByteLevel") return {};  // only moves offsets
    if (type == "BertProcessing" || type == "RobertaProcessing") return {{named_id(section, "cls")}, {named_id(section, "sep")}};
    if (type == "TemplateProcessing") return from_template(section);
    if (type == "Sequence" && section.contains("processors") && section["processors"].is_array()) return from_sequence(section);
    fail("the post-processor '" + printable(type) + "' is not supported");
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::input, printable(file_) + ": " + what); }

  std::int32_t checked_id(const Json& id) const {
    if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<std::int32_t>::max())
      fail("a post-processor's id is not an integer in 0..2147483647");
    return id.get<std::int32_t>();
  }

  // "cls": ["[CLS]", 101]
  std::int32_t named_id(const Json& section, const char* key) const {
    if (!section.contains(key) || !section[key].is_array() || section[key].size() != 2)
      fail(std::string("the post-processor's '") + key + "' is not a pair of a token and an id");
    return checked_id(section[key][1]);
  }

  Around from_sequence(const Json& section) const {
    Around found;
    for (const Json& processor : section["processors"]) {
      Around next = read(processor);
      if (next.before.empty() && next.behind.empty()) continue;
      if (!found.before.empty() || !found.behind.empty())
        fail("a Sequence of several post-processors that add tokens is not supported");
      found = std::move(next);
    }
    return found;
  }

  Around from_template(const Json& section) const {
    if (!section.contains("single") || !section["single"].is_array()) fail("the TemplateProcessing has no 'single' array");
    Around around;
    bool text_seen = false;
    for (const Json& piece : section["single"]) {
      if (piece.contains("Sequence")) {
        if (text_seen || get<std::string>(piece["Sequence"], "id", file_) != "A")
          fail("a template for one text must hold the sequence A once; others are not supported");
        text_seen = true;
        continue;
      }
      if (!piece.contains("SpecialToken")) fail("a template's piece is neither a Sequence nor a SpecialToken");
      append(section, get<std::string>(piece["SpecialToken"], "id", file_), text_seen ? around.behind : around.before);
    }
    if (!text_seen) fail("a template for one text must hold the sequence A once; others are not supported");
    return around;
  }

  void append(const Json& section, const std::string& token, std::vector<std::int32_t>& to) const {
    if (!section.contains("special_tokens") || !section["special_tokens"].contains(token))
      fail("the template's token '" + printable(token) + "' is not among its 'special_tokens'");
    const Json& definition = section["special_tokens"][token];
    if (definition.contains("ids") && definition["ids"].is_array()) {
      for (const Json& id : definition["ids"]) to.push_back(checked_id(id));
      return;
    }
    const auto id = id_of_(token);
    if (!id) fail("the template's token '" + printable(token) + "' has no id");
    to.push_back(*id);
  }

  const std::string& file_;
  const IdOf& id_of_;
};

}  // namespace

PostProcessor::PostProcessor(const Json& section, const std::string& file, const IdOf& id_of) {
  Around around = Reader(file, id_of).read(section);
  before_ = std::move(around.before);
  behind_ = std::move(around.behind);
}

}  // namespace eaq::text
