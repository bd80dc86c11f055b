// SPDX-License-Identifier: Apache-2.0
#include <hypersd/records/directory.hpp>
//
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <pipeline/folder.hpp>

using namespace hypersd;
using records::Existing;
using records::RunDirectory;

TEST_CASE("a run's folder remembers options and finished phases") {
  const Folder folder("run");
  const std::string out = folder.file("deep/run");
  {
    RunDirectory run(out, {{"seed", "1"}, {"steps", "40"}});
    CHECK_FALSE(run.resumed());
    CHECK_FALSE(run.done("autoencoder"));
    run.mark_done("autoencoder", {{"l1", "0.047"}});
    run.mark_done("tscd k=8");
    run.mark_done("autoencoder", {{"l1", "0.046"}});
    CHECK(run.checkpoint("tscd k=8") == out + "/state/tscd-k-8.safetensors");
    CHECK(run.loss_log("teacher") == out + "/logs/teacher");
  }
  const RunDirectory again(out, {{"steps", "40"}, {"seed", "1"}}, Existing::resume);
  CHECK(again.resumed());
  CHECK(again.phases() == std::vector<std::string>{"autoencoder", "tscd k=8"});
  CHECK(again.fact("autoencoder", "l1") == "0.046");
  CHECK(again.fact("teacher", "l1", "none") == "none");
  CHECK_FALSE(again.done("teacher"));
}

TEST_CASE("other options are refused by name, and the run stays") {
  const Folder folder("run");
  const std::string out = folder.file("run");
  { RunDirectory(out, {{"seed", "1"}, {"lr", "0.001"}}).mark_done("a"); }
  CHECK_THROWS_WITH_AS(RunDirectory(out, {{"seed", "2"}, {"lr", "0.001"}}, Existing::resume),
                       doctest::Contains("seed was '1' and is '2' now"), OptionError);
  CHECK_THROWS_WITH_AS(RunDirectory(out, {{"seed", "1"}}, Existing::resume),
                       doctest::Contains("lr was '0.001' and is not set now"), OptionError);
  CHECK_THROWS_WITH_AS(RunDirectory(out, {{"seed", "1"}, {"lr", "0.001"}, {"k", "8"}}, Existing::resume),
                       doctest::Contains("k was not set and is '8' now"), OptionError);
  CHECK(RunDirectory(out, {{"seed", "1"}, {"lr", "0.001"}}, Existing::resume).done("a"));
}

TEST_CASE("a folder that holds a run is refused, resumed or replaced") {
  const Folder folder("run");
  const std::string out = folder.file("run");
  {
    RunDirectory run(out, {});
    run.mark_done("a");
    folder.write("run/state/a.safetensors", "x");
    folder.write("run/notes.txt", "mine");
  }
  CHECK_THROWS_WITH_AS(RunDirectory(out, {}), doctest::Contains("holds a run already"), OptionError);
  const RunDirectory run(out, {{"seed", "5"}}, Existing::replace);
  CHECK_FALSE(run.resumed());
  CHECK_FALSE(run.done("a"));
  CHECK_FALSE(std::filesystem::exists(run.checkpoint("a")));
  CHECK(folder.read("run/notes.txt") == "mine");
}

TEST_CASE("resuming where no run is starts one") {
  const Folder folder("run");
  CHECK_FALSE(RunDirectory(folder.file("run"), {}, Existing::resume).resumed());
}

TEST_CASE("two runs in one folder at the same time are refused; a killed one leaves no lock") {
  const Folder folder("run");
  const std::string out = folder.file("run");
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunDirectory run(out, {});
    const char byte = 1;
    if (::write(ready[1], &byte, 1) == 1) ::pause();
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THROWS_WITH_AS(RunDirectory(out, {}, Existing::resume), doctest::Contains(std::to_string(child).c_str()),
                       IoError);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  CHECK(RunDirectory(out, {}, Existing::resume).resumed());
}

TEST_CASE("damaged run files and impossible folders are errors that name them") {
  const Folder folder("run");
  { RunDirectory(folder.file("run"), {}); }
  folder.write("run/run.json", "{\"format\": 1, \"options\": ");
  CHECK_THROWS_WITH_AS(RunDirectory(folder.file("run"), {}, Existing::resume), doctest::Contains("run.json"),
                       FormatError);
  folder.write("run/run.json", "{\"format\": 9, \"options\": {}, \"done\": []}");
  CHECK_THROWS_AS(RunDirectory(folder.file("run"), {}, Existing::resume), FormatError);
  folder.write("run/run.json", "{\"format\": 1, \"options\": {\"a\": 3}, \"done\": []}");
  CHECK_THROWS_AS(RunDirectory(folder.file("run"), {}, Existing::resume), FormatError);
  folder.write("plain", "a file");
  CHECK_THROWS_WITH_AS(RunDirectory(folder.file("plain"), {}), doctest::Contains("plain"), IoError);
  CHECK_THROWS_AS(RunDirectory("/proc/hypersd-run", {}), IoError);
  CHECK_THROWS_WITH_AS(RunDirectory(folder.file("other"), {{"data", "\xff"}}), doctest::Contains("'data'"),
                       OptionError);
}

TEST_CASE("phase names become safe file names") {
  CHECK(RunDirectory::file_name("tscd k=8") == "tscd-k-8");
  CHECK(RunDirectory::file_name("../../etc/passwd") == "etc-passwd");
  CHECK(RunDirectory::file_name("a_b.c ") == "a_b.c");
  CHECK_THROWS_AS(RunDirectory::file_name("///"), OptionError);
}
