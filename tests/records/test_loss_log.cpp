// SPDX-License-Identifier: Apache-2.0
#include <hypersd/records/loss_log.hpp>
//
#include <doctest/doctest.h>

#include <pipeline/folder.hpp>

using namespace hypersd;
using records::LogRow;
using records::LossLog;

namespace {

const std::string header = "step,loss,learning_rate,grad_norm";

}  // namespace

TEST_CASE("rows appear in the files as they are added") {
  const Folder folder("losslog");
  LossLog log(folder.file("a"));
  log.add(LogRow{"p", 10, 0.5, 1e-3, 2, {{"gap", 0.25}}});
  log.add(LogRow{"p", 20, 0.1, 1e-3, 3, {}});
  log.sync();
  CHECK(folder.read("a.csv") == header + ",gap\n10,0.5,0.001,2,0.25\n20,0.1,0.001,3,\n");
  CHECK(folder.read("a.jsonl").find("\"gap\": 0.25") != std::string::npos);
}

TEST_CASE("resuming keeps the rows up to the checkpoint and drops a row that was cut short") {
  const Folder folder("losslog");
  {
    LossLog log(folder.file("a"));
    for (const std::int64_t step : {10, 20, 30}) log.add(LogRow{"p", step, 0.5, 1e-3, 2, {{"gap", 0.25}}});
  }
  const std::string whole = folder.read("a.csv");
  folder.write("a.csv", whole.substr(0, whole.size() - 3));
  LossLog log(folder.file("a"), 15);
  const std::string kept = header + ",gap\n10,0.5,0.001,2,0.25\n";
  CHECK(folder.read("a.csv") == kept);
  log.add(LogRow{"p", 20, 0.125, 1e-3, 3, {{"gap", 1}}});
  CHECK(folder.read("a.csv") == kept + "20,0.125,0.001,3,1\n");
  CHECK_THROWS_WITH_AS(log.add(LogRow{"p", 30, 0.1, 1e-3, 3, {{"new", 1}}}), doctest::Contains("'new'"), OptionError);
}

TEST_CASE("a file whose very header was cut short is begun again, and so is one of an earlier run") {
  const Folder folder("losslog");
  folder.write("b.csv", "step,lo");
  LossLog again(folder.file("b"), 15);
  again.add(LogRow{"p", 20, 1, 1, 1, {}});
  CHECK(folder.read("b.csv") == header + "\n20,1,1,1\n");
  LossLog fresh(folder.file("b"));
  CHECK(folder.read("b.csv").empty());
  fresh.add(LogRow{"p", 5, 1, 1, 1, {}});
  CHECK(folder.read("b.csv") == header + "\n5,1,1,1\n");
}

TEST_CASE("foreign files and impossible places are errors") {
  const Folder folder("losslog");
  folder.write("a.csv", "x,y\n1,2\n");
  CHECK_THROWS_AS(LossLog(folder.file("a"), 5), FormatError);
  CHECK(folder.read("a.csv") == "x,y\n1,2\n");
  LossLog nowhere(folder.file("missing/a"));
  CHECK_THROWS_AS(nowhere.add(LogRow{"p", 5, 1, 1, 1, {}}), IoError);
}
