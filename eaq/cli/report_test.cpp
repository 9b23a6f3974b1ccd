#include <gtest/gtest.h>

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/cli/program.h"

namespace eaq {
namespace {

using program::Outcome;
using program::run;

const std::string results = std::string(EAQ_SOURCE_DIR) + "/docs/results/";
const std::string gpt2 = results + "study-gpt2-small-nvidia-h200", distilbert = results + "study-distilbert-sst2-nvidia-h200";

TEST(ReportCommand, WritesOnePageOfSeveralResults) {
  const Outcome outcome = run("report '" + gpt2 + "' '" + distilbert + "/study.json' -o page.html --price 0.25 --carbon 380");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "Written: page.html\n");
  const std::string html = read_text(program::folder() / "page.html");
  for (const char* part :
       {"Study: gpt2-small on NVIDIA H200", "Study: distilbert-sst2 on NVIDIA H200", "at 0.25 per kWh", "at 380 g per kWh"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
}

TEST(ReportCommand, JudgesTheClaimsByTheFiguresNotByWhatAnOlderProgramSaid) {
  Json study = parse_json(read_text(gpt2 + "/study.json"), "study");
  study["claims"] = Json::array({{{"claim", "an older rule's"}, {"verdict", "contradicted"}, {"evidence", "-59.6 %"}}});
  write_text(program::folder() / "older.json", study.dump());
  ASSERT_EQ(run("report older.json -o judged.html").code, 0);
  const std::string html = read_text(program::folder() / "judged.html");
  EXPECT_EQ(html.find("an older rule's"), std::string::npos);
  EXPECT_NE(html.find("Mean power is robust under steady load"), std::string::npos);
}

TEST(ReportCommand, ItsJsonHoldsToItsSchema) {
  const Outcome outcome = run("report '" + gpt2 + "' -o json.html --json");
  Json schema = parse_json(read_text(std::string(EAQ_SOURCE_DIR) + "/docs/outputs.schema.json"), "schema");
  schema["$ref"] = "#/$defs/report";
  EXPECT_EQ(program::schema_errors(schema.dump(), outcome.out), "") << outcome.out;
}

TEST(ReportCommand, ABadInputLeavesNoPageAndTheOldOneStands) {
  write_text(program::folder() / "kept.html", "kept");
  write_text(program::folder() / "bad.json", "{\"schema\": \"eaq.plan/1\"}");
  const Outcome bad = run("report '" + gpt2 + "' bad.json -o kept.html");
  EXPECT_EQ(bad.code, 3);
  EXPECT_NE(bad.err.find("bad.json"), std::string::npos) << bad.err;
  EXPECT_EQ(read_text(program::folder() / "kept.html"), "kept");
  EXPECT_EQ(run("report nowhere.json -o x.html").code, 3);
  EXPECT_EQ(run("report '" + gpt2 + "' -o nowhere/x.html").code, 3);
}

TEST(ReportCommand, WrongOptionsAreUsageErrors) {
  EXPECT_EQ(run("report -o x.html").code, 2);
  EXPECT_EQ(run("report '" + gpt2 + "'").code, 2);
  EXPECT_EQ(run("report '" + gpt2 + "' -o x.html --price -1").code, 2);
  EXPECT_EQ(run("report '" + gpt2 + "' -o x.html --carbon nan").code, 2);
}

TEST(ReportCommand, AStudyEndsWithItsPage) {
  const Outcome outcome =
      run("study tiny-gpt2 --formats fp32 --phase forward --limit 1 --seq 8 --blocks 2 --min-seconds 0.01 --assume-watts 65 "
          "--quiet --out paged");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(outcome.out.ends_with("Page: paged/report.html\n")) << outcome.out;
  EXPECT_NE(read_text(program::folder() / "paged/report.html").find("assumed"), std::string::npos);
}

}  // namespace
}  // namespace eaq
