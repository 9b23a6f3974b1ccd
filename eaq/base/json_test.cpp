#include "eaq/base/json.h"

#include <gtest/gtest.h>

#include "eaq/base/base.h"

namespace eaq {
namespace {

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    EXPECT_TRUE(is_utf8(e.what()));
    return e.what();
  }
  return "no error";
}

std::string complaint(std::string_view text, const JsonLimits& limits = {}) {
  return error_of([&] { parse_json(text, "x.json", limits); });
}

TEST(Json, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_json(R"({"z":1,"a":{"y":2,"b":3}})", "x").dump(), R"({"z":1,"a":{"y":2,"b":3}})");
}

TEST(Json, BytesAreLimited) {
  EXPECT_EQ(complaint("[1,2]", {.bytes = 5}), "no error");
  EXPECT_EQ(complaint("[1,2]", {.bytes = 4}), "x.json: JSON of 5 bytes, at most 4 are read");
}

TEST(Json, DepthIsLimited) {
  EXPECT_EQ(complaint("[[[1]]]", {.depth = 3}), "no error");
  EXPECT_EQ(complaint("[[[1]]]", {.depth = 2}), "x.json: nested deeper than 2 levels");
  EXPECT_EQ(complaint("{\"a\":{\"a\":{}}}", {.depth = 2}), "x.json: nested deeper than 2 levels");
  EXPECT_EQ(complaint(std::string(10'000'000, '[')), "x.json: nested deeper than 64 levels");
}

TEST(Json, KeysStandOnceInAnObjectAtAnyDepth) {
  EXPECT_EQ(complaint(R"([{"a":{"k":1,"l":2,"k":3}}])"), "x.json: the key 'k' stands twice in one object");
  EXPECT_EQ(complaint(R"({"k":1,"\u006b":2})"), "x.json: the key 'k' stands twice in one object");
  EXPECT_EQ(complaint(R"([{"k":1},{"k":1}])"), "no error");
}

TEST(Json, NulBytesAndInvalidUtf8AreRefused) {
  EXPECT_EQ(complaint(std::string_view("[1]\0", 4)), "x.json: a NUL byte at byte 3 of the JSON");
  EXPECT_EQ(complaint("[\"\xC3\"]"), "x.json: the JSON is not valid UTF-8");
}

TEST(Json, SyntaxErrorsNameTheByte) {
  for (const char* bad :
       {"", " ", "{", "[1,]", "{\"a\"}", "{a:1}", "[01]", "nul", "[1] x", "[\"\x01\"]", "'a'", "[1e999]", "// c\n1"})
    EXPECT_EQ(complaint(bad).find("x.json: not valid JSON at byte "), 0u) << bad << " -> " << complaint(bad);
}

TEST(Json, AFileIsNamedByItsPath) {
  EXPECT_EQ(error_of([] { read_json("/nowhere.json"); }), "/nowhere.json: cannot open: No such file or directory");
}

const Json& object() {
  static const Json value =
      parse_json(R"({"i":7,"f":7.0,"h":7.5,"big":3000000000,"n":-2147483648,"s":"t","b":true,"null":null,"huge":1e300})", "x");
  return value;
}

TEST(JsonGet, IntegersAreIntegersInRange) {
  EXPECT_EQ(get<int>(object(), "i", "x"), 7);
  EXPECT_EQ(get<int>(object(), "f", "x"), 7) << "some writers have 7.0 for 7";
  EXPECT_EQ(error_of([] { get<int>(object(), "h", "x"); }), "x: 'h' must be an integer that fits in 32 bits");
  EXPECT_EQ(error_of([] { get<int>(object(), "big", "x"); }), "x: 'big' must be an integer that fits in 32 bits");
  EXPECT_EQ(error_of([] { get<int>(object(), "huge", "x"); }), "x: 'huge' must be an integer that fits in 32 bits");
  EXPECT_EQ(error_of([] { get<int>(object(), "s", "x"); }), "x: 's' must be an integer");
  EXPECT_EQ(error_of([] { get<int>(object(), "b", "x"); }), "x: 'b' must be an integer");
}

TEST(JsonGet, KindsAreNotConverted) {
  EXPECT_EQ(get<std::string>(object(), "s", "x"), "t");
  EXPECT_EQ(get<bool>(object(), "b", "x"), true);
  EXPECT_EQ(get<double>(object(), "i", "x"), 7.0);
  EXPECT_EQ(error_of([] { get<bool>(object(), "i", "x"); }), "x: 'i' must be true or false");
  EXPECT_EQ(error_of([] { get<std::string>(object(), "i", "x"); }), "x: 'i' must be a string");
  EXPECT_EQ(error_of([] { get<double>(object(), "s", "x"); }), "x: 's' must be a number");
}

TEST(JsonGet, MissingIsNamedAndMayHaveAFallback) {
  EXPECT_EQ(error_of([] { get<int>(object(), "none", "c.json"); }), "c.json: 'none' is missing");
  EXPECT_EQ(error_of([] { get<int>(Json::array(), "none", "c.json"); }), "c.json: 'none' is missing");
  EXPECT_EQ(get_or<int>(object(), "none", "x", 3), 3);
  EXPECT_EQ(get_or<int>(object(), "null", "x", 3), 3);
  EXPECT_EQ(get_or<int>(object(), "i", "x", 3), 7);
  EXPECT_EQ(error_of([] { get_or<int>(object(), "s", "x", 3); }), "x: 's' must be an integer");
}

}  // namespace
}  // namespace eaq
