// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/metric_log.hpp>

#include <doctest/doctest.h>

#include <limits>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

const std::vector<std::string> columns = {"phase", "step", "loss"};

void write_steps(io::MetricLog& log, int from, int to) {
  for (int i = from; i <= to; ++i) log.append({{"phase", "teacher"}, {"step", i}, {"loss", 1.0 / i}});
}

}  // namespace

TEST_CASE("both files, header once, every line at once") {
  const test::TempFolder folder;
  io::MetricLog log(folder / "m", columns);
  log.append({{"step", 1}, {"loss", 0.5F}, {"phase", std::string("a,b")}});
  CHECK(io::read_file(folder / "m.csv") == "phase,step,loss\n\"a,b\",1,0.5\n");
  CHECK(io::read_file(folder / "m.jsonl") == "{\"step\": 1, \"loss\": 0.5, \"phase\": \"a,b\"}\n");
  log.append({{"loss", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(io::read_csv(folder / "m.csv").rows[1] == std::vector<std::string>{"", "", "nan"});
  CHECK(mentions(io::read_file(folder / "m.jsonl"), "{\"loss\": null}"));
  log.sync();
  CHECK(mentions(message_of<OptionError>([&] { log.append({{"los", 1}}); }), "no column 'los'"));
  CHECK_THROWS_AS(log.append({{"loss", 1}, {"loss", 2}}), OptionError);
}

TEST_CASE("a resumed log equals one that was never cut") {
  const test::TempFolder folder;
  {
    io::MetricLog whole(folder / "whole", columns);
    write_steps(whole, 1, 20);
  }
  const std::string csv = io::read_file(folder / "whole.csv"), json = io::read_file(folder / "whole.jsonl");
  {
    io::MetricLog log(folder / "m", columns);
    write_steps(log, 1, 13);
  }
  for (const std::string& torn : {std::string(), std::string("teacher,14,0.0")}) {
    {
      io::AppendFile(folder / "m.csv", 1U << 20U).append(torn);
      if (!torn.empty()) io::AppendFile(folder / "m.jsonl", 1U << 20U).append("{\"phase\": \"tea");
      io::MetricLog log(folder / "m", columns, io::MetricLog::up_to("step", 10));
      write_steps(log, 11, 20);
    }
    CHECK(io::read_file(folder / "m.csv") == csv);
    CHECK(io::read_file(folder / "m.jsonl") == json);
  }
  // Killed between the two writes: the object is there, the record is not.
  io::AppendFile(folder / "m.jsonl", 1U << 20U).append("{\"step\": 21}\n");
  { const io::MetricLog log(folder / "m", columns, io::MetricLog::up_to("step", 20)); }
  CHECK(io::read_file(folder / "m.jsonl") == json);
}

TEST_CASE("resuming from nothing, from a torn header, by phase") {
  const test::TempFolder folder;
  const auto keep = [](const io::LoggedRow& row) { return row.text("phase") == "a" || row.integer("step") <= 2; };
  { io::MetricLog log(folder / "m", columns, keep); }
  CHECK(io::read_file(folder / "m.csv") == "phase,step,loss\n");
  io::AppendFile(folder / "m.csv", 5);
  {
    io::MetricLog log(folder / "m", columns, keep);
    log.append({{"phase", "a"}, {"step", 9}});
    log.append({{"phase", "b"}, {"step", 2}});
    log.append({{"phase", "b"}, {"step", 3}});
    log.append({{"phase", "a"}, {"step", 1}});
  }
  { io::MetricLog log(folder / "m", columns, keep); }
  CHECK(io::read_file(folder / "m.csv") == "phase,step,loss\na,9,\nb,2,\n");
}

TEST_CASE("columns that do not fit") {
  const test::TempFolder folder;
  CHECK_THROWS_AS(io::MetricLog(folder / "m", {}), OptionError);
  CHECK_THROWS_AS(io::MetricLog(folder / "m", {"a", "a"}), OptionError);
  { const io::MetricLog log(folder / "m", {"other"}); }
  CHECK(
      mentions(message_of<FormatError>([&] { io::MetricLog(folder / "m", columns, io::MetricLog::up_to("step", 1)); }),
               "m.csv' has other columns"));
  CHECK(mentions(message_of<IoError>([&] { io::MetricLog(folder / "no/m", columns); }), "no/m.csv"));
}
