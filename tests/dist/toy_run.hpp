// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <fstream>
#include <functional>
#include <hypersd/diffusion/denoising.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/pipeline/recipe.hpp>
#include <pipeline/toy_denoiser.hpp>
#include <sstream>
#include <string>
#include <vector>

/// A run in the plane on any number of ranks: a teacher by the denoising loss, then two stages of TSCD.
struct ToyRun {
  std::int64_t batch = 32;  ///< of all ranks together
  /// Called at the beginning of every step of the teacher, and of the students with steps from 1000 on.
  std::function<void(std::int64_t step)> before_step = [](std::int64_t) {};
  static constexpr std::int64_t steps = 24;

  void operator()(const std::string& folder, hypersd::dist::Group group) const {
    using namespace hypersd;
    const auto process = toy::process();
    const auto truth = toy::exact();
    const dist::Slice mine = dist::slice(group, batch);
    // The batch is a function of the step. Each rank takes its slice.
    const auto data = [&](const char* name, std::int64_t step) {
      return truth.data<double>(batch, stream(5, name, static_cast<std::uint64_t>(step)))
          .slice(mine.first, mine.first + mine.count);
    };
    records::RunDirectory directory(folder, {{"batch", std::to_string(batch)}}, records::Existing::resume, group);
    const pipeline::Session session{directory, 5, {}, 5, group};

    toy::Denoiser net;
    // The other ranks start from the weights of rank 0.
    nn::init_parameters(net, 7 + static_cast<std::uint64_t>(group.rank()), "toy");
    pipeline::TrainOptions options{.phase = "teacher", .steps = steps, .learning_rate = optim::Constant{3e-3}};
    options.log_every = 1;
    options.ema = optim::EmaOptions{.decay = 0.8};
    session.train(options, optim::parameters_of(net), [&](std::int64_t step) {
      before_step(step);
      return diffusion::denoising_loss(net, process, data("teacher", step), diffusion::Unconditional{}, session.seed,
                                       step, mine.first);
    });
    nn::set_requires_grad(net, false);

    const auto batches = [&](std::int64_t step) {
      before_step(1000 + step);
      return diffusion::Batch<double, Cpu, diffusion::Unconditional>{data("student", step), {}};
    };
    const pipeline::StageOptions stages{.steps = {10, 10}, .learning_rate = 3e-3};
    pipeline::Recipe(pipeline::staged("tscd", {4, 1}, batches, stages, [&](int k, bool) {
      return distill::Consistency<distill::WithinSegments<>>(process, {.noise_offset = 0.1}, {}, {k});
    })).run(session, net);
  }
};

/// Largest relative difference of the numbers of two runs' loss curves; infinite where rows or columns differ.
inline double curve_difference(const std::string& a, const std::string& b) {
  const auto numbers = [](const std::string& path) {
    std::ifstream in(path);
    std::vector<std::vector<double>> rows;
    std::string line, field;
    std::getline(in, line);  // names
    while (std::getline(in, line)) {
      rows.emplace_back();
      for (std::istringstream fields(line); std::getline(fields, field, ',');) rows.back().push_back(std::stod(field));
    }
    return rows;
  };
  double worst = 0;
  for (const char* phase : {"teacher", "tscd-k-4", "tscd-k-1"}) {
    const auto x = numbers(a + "/logs/" + phase + ".csv"), y = numbers(b + "/logs/" + phase + ".csv");
    if (x.size() != y.size() || x.empty()) return INFINITY;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i].size() != y[i].size()) return INFINITY;
      for (std::size_t j = 0; j < x[i].size(); ++j)
        worst = std::max(worst, std::abs(x[i][j] - y[i][j]) / std::max(1e-12, std::abs(x[i][j])));
    }
  }
  return worst;
}
