// SPDX-License-Identifier: Apache-2.0
#include <hypersd/records/loss_log.hpp>
//
#include <doctest/doctest.h>

#include <pipeline/folder.hpp>

#include "threads.hpp"
#include "toy_run.hpp"

using namespace hypersd;

TEST_CASE("two and four ranks give the loss curve of one rank with the whole batch") {
  const Folder folder("ranks");
  ToyRun{}(folder.file("one"), {});
  for (const int n : {2, 4}) {
    const auto name = folder.file(std::to_string(n));
    for (const auto& said : as_ranks(n, [&](dist::Group group) { ToyRun{}(name, group); })) CHECK(said == "");
    CHECK(curve_difference(folder.file("one"), name) < 1e-6);
  }
  // Another batch gives another curve: the comparison is able to fail.
  ToyRun{.batch = 16}(folder.file("other"), {});
  CHECK(curve_difference(folder.file("one"), folder.file("other")) > 1e-3);
}

TEST_CASE("an exception on one rank ends the step on all; any number of ranks resumes from the checkpoint") {
  const Folder folder("ranks");
  ToyRun{}(folder.file("one"), {});
  for (const std::int64_t at : {13, 1016}) {
    const auto name = folder.file("broken" + std::to_string(at));
    const auto said = as_ranks(2, [&](dist::Group group) {
      ToyRun run;
      run.before_step = [&, group](std::int64_t step) {
        if (step == at && group.rank() == 1) fail<IoError>("the disk of this rank is gone");
      };
      run(name, group);
    });
    const std::string mine = at == 13
                                 ? "phase 'teacher', rank 1 of 2, step 14 of 24: the disk of this rank is gone; the"
                                 : "phase 'tscd k=1', rank 1 of 2, step 7 of 10: the disk of this rank is gone; the";
    CHECK(said[0].starts_with("rank 1 of 2 failed: " + mine));
    CHECK(said[1].starts_with(mine));
    // The checkpoint before step 13 of the teacher, or step 7 of the second stage.
    const io::SafetensorsFile kept(name + (at == 13 ? "/state/teacher.safetensors" : "/state/tscd-k-1.safetensors"));
    CHECK(records::CheckpointInfo::of(kept).step == (at == 13 ? 10 : 5));
    ToyRun{}(name, {});  // one rank
    CHECK(curve_difference(folder.file("one"), name) < 1e-6);
  }
}

TEST_CASE("a loss that is not finite names phase, rank and step on every rank") {
  const auto said = as_ranks(3, [](dist::Group group) {
    const Var<float> w(Tensor<float>::ones(Shape{2}), true);
    pipeline::TrainOptions options{.phase = "toy", .steps = 5, .group = group};
    pipeline::train(options, optim::ParameterList<float>{{"w", w}}, [&](std::int64_t step) {
      return autograd::affine(autograd::mean(w), step == 2 && group.rank() == 1 ? NAN : 1.0F);
    });
  });
  for (std::size_t r = 0; r < 3; ++r)
    CHECK(said[r].find("phase 'toy', rank " + std::to_string(r) +
                       " of 3, step 3 of 5: the loss is nan, from rank 1; no checkpoint") == 0);
}

TEST_CASE("hooks: rank 0 logs and reports; a stop on any rank stops all") {
  std::vector<int> logged(2), asked(2), reported(2);
  std::vector<pipeline::TrainReport> reports(2);
  const auto said = as_ranks(2, [&](dist::Group group) {
    const auto me = static_cast<std::size_t>(group.rank());
    const Var<float> w(Tensor<float>::full(Shape{2}, static_cast<float>(me)), true);
    pipeline::TrainOptions options{.phase = "toy", .steps = 50, .log_every = 3, .group = group};
    pipeline::Hooks hooks;
    hooks.log = [&](const records::LogRow& row) {
      ++logged[me];
      CHECK(row.diagnostics == records::Diagnostics{{"rank", 0.5}, {"mine", 7.0}});
    };
    hooks.stop = [&](std::int64_t step) {
      ++asked[me];
      return me == 1 && step == 7;
    };
    reports[me] = pipeline::train(
        options, optim::ParameterList<float>{{"w", w}},
        [&](std::int64_t) {
          diffusion::LossResult<float, Cpu> out{autograd::mean(w), {{"rank", static_cast<double>(me)}}};
          if (me == 0) out.diagnostics.emplace_back("mine", 7.0);
          return out;
        },
        [&](const ProgressEvent&) { ++reported[me]; }, hooks);
    CHECK(w.value().to_vector() == std::vector<float>(2, w.value()[0]));
    CHECK(w.value()[0] < 0);  // started from the zeros of rank 0
  });
  for (const auto& message : said) CHECK(message == "");
  CHECK(logged == std::vector<int>{3, 0});
  CHECK(asked == std::vector<int>{7, 7});
  CHECK(reported == std::vector<int>{8, 0});
  CHECK((reports[0].step == 7 && reports[1].step == 7 && reports[0].loss == reports[1].loss));
}
