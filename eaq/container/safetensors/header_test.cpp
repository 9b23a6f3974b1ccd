// Every way in which a header can be wrong, and what is said about it.
#include "eaq/container/safetensors/header.h"

#include <gtest/gtest.h>

#include "eaq/base/base.h"

namespace eaq::safetensors {
namespace {

std::string with_length(std::uint64_t length, std::string_view rest) {
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + std::string(rest);
}

std::string file_of(std::string_view json, std::size_t data = 0) {
  return with_length(json.size(), json) + std::string(data, '\1');
}

std::string tensor(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return "\"" + std::string(name) + "\":{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":" + std::string(shape) +
         ",\"data_offsets\":" + std::string(offsets) + "}";
}

Header parse(std::string_view bytes) { return parse_header(std::as_bytes(std::span(bytes)), "m.safetensors"); }

/// The message of the Error{input} that `bytes` cause, or "" where they cause none.
std::string complaint(std::string_view bytes) {
  try {
    parse(bytes);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    EXPECT_TRUE(is_utf8(e.what()));
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "";
}

#define EXPECT_COMPLAINT(bytes, message) EXPECT_EQ(complaint(bytes), std::string("m.safetensors: ") + (message))
#define EXPECT_COMPLAINT_WITH(bytes, part) \
  EXPECT_NE(complaint(bytes).find(part), std::string::npos) << "said: '" << complaint(bytes) << "'"

TEST(SafetensorsHeader, OfNothingIsEmpty) {
  EXPECT_TRUE(parse(file_of("{}")).entries.empty());
  EXPECT_TRUE(parse(file_of("{}      ")).entries.empty());
}

TEST(SafetensorsHeader, KeepsTypeShapeAndRange) {
  const Header header =
      parse(file_of("{" + tensor("b", "F32", "[1,2]", "[4,12]") + "," + tensor("a", "I16", "[2]", "[0,4]") + "}", 12));
  ASSERT_EQ(header.entries.size(), 2u);
  const Entry* b = header.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->type->name, "F32");
  EXPECT_EQ(b->shape, (Shape{1, 2}));
  EXPECT_EQ(b->begin, 4u);
  EXPECT_EQ(b->end, 12u);
  EXPECT_EQ(header.find("c"), nullptr);
}

TEST(SafetensorsHeader, AllowsScalarsEmptyTensorsAndTheEmptyName) {
  const Header header = parse(file_of("{" + tensor("", "U8", "[]", "[0,1]") + "," + tensor("e", "F64", "[0,5]", "[1,1]") + "," +
                                          tensor("e2", "F64", "[3,0]", "[1,1]") + "}",
                                      1));
  EXPECT_EQ(header.find("")->shape, Shape{});
  EXPECT_EQ(header.find("e")->begin, 1u);
}

TEST(SafetensorsHeader, PassesOverEntriesThatTheFormatDoesNotName) {
  const std::string json = R"({"a":{"dtype":"U8","note":{"deep":[[1,"x",null,2.5,true,{}]]},"shape":[1],"data_offsets":[0,1]}})";
  EXPECT_EQ(parse(file_of(json, 1)).entries.size(), 1u);
}

TEST(SafetensorsHeader, KeepsMetadata) {
  EXPECT_EQ(parse(file_of(R"({"__metadata__":{"a":"b","c":""}})")).metadata,
            (std::map<std::string, std::string>{{"a", "b"}, {"c", ""}}));
  EXPECT_TRUE(parse(file_of(R"({"__metadata__":null})")).metadata.empty());
}

TEST(SafetensorsHeader, LengthMustLieInTheFile) {
  EXPECT_COMPLAINT("", "has 0 bytes, a safetensors file has at least 8");
  EXPECT_COMPLAINT("1234567", "has 7 bytes, a safetensors file has at least 8");
  EXPECT_COMPLAINT(with_length(0, ""), "the header of 0 bytes does not begin with '{'");
  EXPECT_COMPLAINT(with_length(3, "{}"), "the header ends at byte 11, the file has 10");
  EXPECT_COMPLAINT(with_length(100'000'000, "{}"), "the header ends at byte 100000008, the file has 10");
  EXPECT_COMPLAINT_WITH(with_length(100'000'001, "{}"), "a header of 100000001 bytes, at most 100000000 are read");
  EXPECT_COMPLAINT_WITH(with_length(~std::uint64_t{0}, "{}"), "a header of 18446744073709551615 bytes");
  EXPECT_COMPLAINT_WITH(with_length(std::uint64_t{1} << 63, "{}"), "a header of 9223372036854775808 bytes");
}

TEST(SafetensorsHeader, ALfsPointerIsRecognised) {
  EXPECT_COMPLAINT_WITH("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull");
}

TEST(SafetensorsHeader, MustBeOneJsonObject) {
  EXPECT_COMPLAINT(file_of("[1,2]"), "the header of 5 bytes does not begin with '{'");
  EXPECT_COMPLAINT(file_of(" {}"), "the header of 3 bytes does not begin with '{'");
  EXPECT_COMPLAINT_WITH(file_of("{"), "the header is not valid JSON at its byte");
  EXPECT_COMPLAINT_WITH(file_of("{\"a"), "the header is not valid JSON at its byte");
  EXPECT_COMPLAINT_WITH(file_of("{} {}"), "the header is not valid JSON at its byte");
  EXPECT_COMPLAINT_WITH(file_of("{}x"), "the header is not valid JSON at its byte");
  EXPECT_COMPLAINT_WITH(file_of("{\"a\":1e999}"), "the header is not valid JSON at its byte");
}

TEST(SafetensorsHeader, RefusesNulBytesAndInvalidUtf8) {
  EXPECT_COMPLAINT(file_of(std::string("{}\0\0", 4)), "a NUL byte at byte 2 of the header");
  EXPECT_COMPLAINT(file_of(std::string("{\"a\0b\":1}", 9)), "a NUL byte at byte 3 of the header");
  EXPECT_COMPLAINT(file_of("{\"\xff\":1}"), "the header is not valid UTF-8");
  EXPECT_COMPLAINT(file_of("{\"\xed\xa0\x80\":1}"), "the header is not valid UTF-8");
}

TEST(SafetensorsHeader, RefusesDeepNesting) {
  EXPECT_COMPLAINT(file_of("{\"a\":" + std::string(100'000, '[')), "'a' is a list, not an object");
  EXPECT_COMPLAINT(file_of("{\"a\":{\"x\":" + std::string(100'000, '[')), "'a' is nested deeper than 64 levels");
  std::string objects = "{\"a\":{\"x\":";
  for (int i = 0; i < 10'000; ++i) objects += "{\"y\":";
  EXPECT_COMPLAINT(file_of(objects), "'a' is nested deeper than 64 levels");
}

TEST(SafetensorsHeader, ReadsAHundredMegabytesOfJsonAndNoMore) {
  std::string json = "{\"__metadata__\":{\"a\":\"";
  json.resize(max_header - 3, 'x');
  json += "\"}}";
  EXPECT_EQ(parse(file_of(json)).metadata.at("a").size(), max_header - 3 - 22);
  EXPECT_COMPLAINT_WITH(file_of(json + " "), "at most 100000000 are read");
}

TEST(SafetensorsHeader, RefusesNamesThatStandTwice) {
  const std::string a = tensor("a", "U8", "[1]", "[0,1]"), again = tensor("a", "U8", "[1]", "[1,2]");
  EXPECT_COMPLAINT(file_of("{" + a + "," + again + "}", 2), "'a' stands twice in the header");
  EXPECT_COMPLAINT(file_of("{" + a + "," + a + "}", 1), "'a' stands twice in the header");
  EXPECT_COMPLAINT(file_of(R"({"__metadata__":{},"__metadata__":{}})"), "'__metadata__' stands twice");
  EXPECT_COMPLAINT(file_of(R"({"__metadata__":{"k":"1","k":"2"}})"), "a key stands twice in '__metadata__'");
  EXPECT_COMPLAINT(file_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
                   "'a' has two entries 'dtype'");
}

TEST(SafetensorsHeader, MetadataHoldsTextOnly) {
  EXPECT_COMPLAINT(file_of(R"({"__metadata__":{"k":1}})"), "'__metadata__' holds the number 1 for 'k', only text is allowed");
  EXPECT_COMPLAINT(file_of(R"({"__metadata__":{"k":{}}})"), "'__metadata__' holds an object for 'k', only text is allowed");
  EXPECT_COMPLAINT(file_of(R"({"__metadata__":"k"})"), "'__metadata__' is text, not an object");
}

TEST(SafetensorsHeader, TensorsNeedTypeShapeAndOffsets) {
  EXPECT_COMPLAINT(file_of(R"({"a":7})"), "'a' is the number 7, not an object");
  EXPECT_COMPLAINT(file_of(R"({"a":{}})"), "'a' has no dtype");
  EXPECT_COMPLAINT(file_of(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})"), "'a' has no shape");
  EXPECT_COMPLAINT(file_of(R"({"a":{"dtype":"U8","shape":[0]}})"), "'a' has no data_offsets");
  EXPECT_COMPLAINT(file_of(R"({"a":{"dtype":5,"shape":[0],"data_offsets":[0,0]}})"), "'a' has the number 5 as its dtype");
  EXPECT_COMPLAINT(file_of(R"({"a":{"dtype":"U8","shape":3,"data_offsets":[0,0]}})"), "'a' has the number 3 as its shape");
  EXPECT_COMPLAINT(file_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":null}})"), "'a' has null as its data_offsets");
}

TEST(SafetensorsHeader, RefusesTypesThatTheFormatLacks) {
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "F33", "[1]", "[0,4]") + "}", 4),
                   "'a' has the dtype 'F33', which safetensors does not have");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "f32", "[1]", "[0,4]") + "}", 4),
                   "'a' has the dtype 'f32', which safetensors does not have");
}

TEST(SafetensorsHeader, RefusesDimensionsThatAreNoCounts) {
  for (const char* shape : {"[-1]", "[1.0]", "[1e3]", "[\"1\"]", "[null]", "[true]", "[[1]]", "[{}]", "[18446744073709551616]"})
    EXPECT_COMPLAINT_WITH(file_of("{" + tensor("a", "U8", shape, "[0,1]") + "}", 1),
                          "in its shape, dimensions are integers of 0 or more");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[9223372036854775808]", "[0,1]") + "}", 1),
                   "'a' has a dimension of 9223372036854775808, which is too large");
}

TEST(SafetensorsHeader, RefusesOffsetsThatAreNoRange) {
  for (const char* offsets : {"[-1,0]", "[0,1.5]", "[\"0\",\"1\"]", "[0,[1]]", "[0,null]", "[0,18446744073709551616]"})
    EXPECT_COMPLAINT_WITH(file_of("{" + tensor("a", "U8", "[1]", offsets) + "}", 1),
                          "in its data_offsets, these are two integers");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[1]", "[]") + "}", 1), "'a' has 0 data_offsets, there must be two");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[1]", "[0]") + "}", 1), "'a' has 1 data_offsets, there must be two");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[1]", "[0,1,2]") + "}", 1), "'a' has 3 data_offsets, there must be two");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[1]", "[1,0]") + "}", 1),
                   "'a' begins at byte 1 of the data and ends before it, at 0");
}

TEST(SafetensorsHeader, ShapeTimesTypeMustBeTheRange) {
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "F32", "[2,3]", "[0,20]") + "}", 20),
                   "'a' is [2, 3] of F32 and needs 24 bytes, its data_offsets span 20");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "F32", "[]", "[0,0]") + "}"),
                   "'a' is [] of F32 and needs 4 bytes, its data_offsets span 0");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "F4", "[3]", "[0,1]") + "}", 1),
                   "'a' is [3] of F4, which is no whole number of bytes");
}

TEST(SafetensorsHeader, ProductsThatOverflowAreNotTakenModulo) {
  // 2^32 * 2^32 is 0 modulo 2^64, and 2^62 elements of 32 bits are 0 bits.
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[4294967296,4294967296]", "[0,0]") + "}"),
                   "'a' is [4294967296, 4294967296] of U8, which is larger than any file");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "F32", "[4611686018427387904]", "[0,0]") + "}"),
                   "'a' is [4611686018427387904] of F32, which is larger than any file");
  EXPECT_COMPLAINT(file_of("{" + tensor("a", "U8", "[4294967296,4294967296,0]", "[0,0]") + "}"),
                   "'a' is [4294967296, 4294967296, 0] of U8, which is larger than any file");
  EXPECT_EQ(parse(file_of("{" + tensor("a", "U8", "[0,4294967296,4294967296]", "[0,0]") + "}")).entries.size(), 1u);
}

TEST(SafetensorsHeader, DataMustEndWithTheFile) {
  const std::string json = "{" + tensor("wte.weight", "F32", "[200]", "[0,800]") + "}";
  const std::string begin = std::to_string(8 + json.size()), end = std::to_string(808 + json.size());
  EXPECT_COMPLAINT(file_of(json, 0), "'wte.weight' ends at byte " + end + ", the file has " + begin);
  EXPECT_COMPLAINT(file_of(json, 799),
                   "'wte.weight' ends at byte " + end + ", the file has " + std::to_string(807 + json.size()));
  EXPECT_COMPLAINT(file_of(json, 801), "the tensors end at byte " + end + ", the file has " + std::to_string(809 + json.size()));
  EXPECT_COMPLAINT(file_of("{}", 5), "the tensors end at byte 10, the file has 15");
  EXPECT_COMPLAINT_WITH(file_of("{" + tensor("a", "U8", "[1099511627776]", "[0,1099511627776]") + "}"), "the file has");
}

TEST(SafetensorsHeader, RefusesOverlapsAndHoles) {
  const auto two = [](std::string_view a, std::string_view b, std::size_t size) {
    return file_of("{" + tensor("a", "U8", "[4]", a) + "," + tensor("b", "U8", "[4]", b) + "}", size);
  };
  EXPECT_EQ(complaint(two("[0,4]", "[4,8]", 8)), "");
  EXPECT_EQ(complaint(two("[4,8]", "[0,4]", 8)), "");
  EXPECT_COMPLAINT(two("[0,4]", "[0,4]", 4), "'b' begins at byte 0 of the data, inside 'a', which ends at 4");
  EXPECT_COMPLAINT(two("[2,6]", "[0,4]", 6), "'a' begins at byte 2 of the data, inside 'b', which ends at 4");
  EXPECT_COMPLAINT(two("[0,4]", "[5,9]", 9), "bytes 4 to 5 of the data, before 'b', belong to no tensor");
  EXPECT_COMPLAINT(two("[1,5]", "[5,9]", 9), "bytes 0 to 1 of the data, before 'a', belong to no tensor");
}

TEST(SafetensorsHeader, LongNamesAreCutInMessages) {
  EXPECT_LT(complaint(file_of("{\"" + std::string(1'000'000, 'n') + "\":1}")).size(), 400u);
}

}  // namespace
}  // namespace eaq::safetensors
