// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/loss_log.hpp>
//
#include <doctest/doctest.h>

#include "folder.hpp"

using namespace hypersd;
using pipeline::LogRow;
using pipeline::LossLog;

TEST_CASE("rows appear in the file as they are added") {
  const Folder folder("losslog");
  LossLog log(folder.file("a.csv"));
  CHECK(folder.read("a.csv").empty());
  log.add(LogRow{"p", 10, 0.5, 1e-3, 2, {{"gap", 0.25}}});
  log.add(LogRow{"p", 20, 0.1, 1e-3, 3, {}});
  CHECK(folder.read("a.csv") == "step,loss,learning_rate,grad_norm,gap\n10,0.5,0.001,2,0.25\n20,0.1,0.001,3,\n");
}

TEST_CASE("resuming keeps the rows up to the checkpoint and drops a row that was cut short") {
  const Folder folder("losslog");
  const std::string kept = "step,loss,learning_rate,grad_norm,gap\n10,0.5,0.001,2,0.25\n";
  folder.write("a.csv", kept + "20,0.1,0.001,3,4\n30,0.1");
  LossLog log(folder.file("a.csv"), 15);
  CHECK(folder.read("a.csv") == kept);
  log.add(LogRow{"p", 20, 0.125, 1e-3, 3, {{"gap", 1}}});
  CHECK(folder.read("a.csv") == kept + "20,0.125,0.001,3,1\n");
  CHECK_THROWS_WITH_AS(log.add(LogRow{"p", 30, 0.1, 1e-3, 3, {{"new", 1}}}), doctest::Contains("'new'"), OptionError);
  // A file whose very header was cut short is begun again.
  folder.write("b.csv", "step,lo");
  LossLog again(folder.file("b.csv"), 15);
  again.add(LogRow{"p", 20, 1, 1, 1, {}});
  CHECK(folder.read("b.csv") == "step,loss,learning_rate,grad_norm\n20,1,1,1\n");
}

TEST_CASE("a run from the beginning starts a new file") {
  const Folder folder("losslog");
  folder.write("a.csv", "step,loss,learning_rate,grad_norm\n10,1,1,1\n");
  const LossLog log(folder.file("a.csv"));
  CHECK(folder.read("a.csv").empty());
}

TEST_CASE("foreign files and impossible places are errors") {
  const Folder folder("losslog");
  folder.write("a.csv", "x,y\n1,2\n");
  CHECK_THROWS_AS(LossLog(folder.file("a.csv"), 5), FormatError);
  CHECK(folder.read("a.csv") == "x,y\n1,2\n");
  folder.write("b.csv", "step,loss,learning_rate,grad_norm\nten,1,1,1\n");
  CHECK_THROWS_WITH_AS(LossLog(folder.file("b.csv"), 5), doctest::Contains("line 2"), FormatError);
  CHECK_THROWS_AS(LossLog(folder.file("missing/a.csv")), IoError);
}
