// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/diffusion/denoising.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/pipeline/train_loop.hpp>

#include <limits>
#include <string>
#include <vector>

/// \file
/// Training of a small denoiser by a function and by a task, as functions of element type and device.

namespace denoising_runs {

using namespace hypersd;

template <class T, class D>
struct Net {
  Var<T, D> w1, b1, w2;
  Net() {
    const auto start = [](const Shape& shape, const char* name) {
      return Var<T, D>(ops::cast<T>(ops::normal<float>(shape, stream(1, name))).template to<D>(), true);
    };
    w1 = start({16, 5}, "w1");
    b1 = start({16}, "b1");
    w2 = start({4, 16}, "w2");
  }
  [[nodiscard]] optim::ParameterList<T, D> parameters() const { return {{"w1", w1}, {"b1", b1}, {"w2", w2}}; }
  /// The condition is one number more for each sample.
  template <class Times>
  Var<T, D> operator()(const Var<T, D>& x, const Times&, const Tensor<T, D>& condition) const {
    const auto h = autograd::linear(autograd::concat_channels(x, Var<T, D>(condition)), w1, b1);
    return autograd::linear(autograd::silu(h), w2, Var<T, D>{});
  }
};

template <class T, class D>
Tensor<T, D> data(std::int64_t step, const Shape& shape, const char* name) {
  return ops::cast<T>(ops::normal<float>(shape, stream(3, name, static_cast<std::uint64_t>(step)))).template to<D>();
}

inline pipeline::TrainOptions options(std::int64_t steps) {
  pipeline::TrainOptions o;
  o.phase = "denoiser";
  o.steps = steps;
  o.learning_rate = optim::Cosine{1e-2, steps};
  o.log_every = 4;
  o.ema = optim::EmaOptions{0.9, true};
  return o;
}

struct Outcome {
  std::vector<float> parameters;
  std::vector<records::LogRow> rows;
  pipeline::TrainReport report;
};

/// `steps` steps of a function or of a capturable task; the data of step `bad` are not finite.
template <class T, class D>
Outcome train(bool as_task, std::int64_t steps = 11, std::int64_t bad = -1) {
  const Net<T, D> net;
  const diffusion::StableDiffusion process;
  const Shape shape{6, 4};
  Outcome out;
  pipeline::Hooks hooks;
  hooks.log = [&](const records::LogRow& row) { out.rows.push_back(row); };
  const auto x0 = [&](std::int64_t step) {
    auto x = data<T, Cpu>(step, shape, "x0");
    if (step == bad) x[3] = converted<T>(std::numeric_limits<float>::infinity());
    return x.template to<D>();
  };
  if (as_task) {
    const Tensor<T, D> condition(Shape{6, 1});
    const auto load = [&](std::int64_t step, const Tensor<T, D>& to) {
      to.copy_from(x0(step));
      condition.copy_from(data<T, D>(step, condition.shape(), "condition"));
    };
    const auto predict = [&](const Var<T, D>& x, const auto& t) { return net(x, t, condition); };
    auto task = diffusion::denoising_task<T, D>(process, shape, 5, load, predict);
    out.report = pipeline::train(options(steps), net.parameters(), task, {}, hooks);
  } else {
    const auto step = [&](std::int64_t i) {
      return diffusion::denoising_loss(net, process, x0(i), data<T, D>(i, {6, 1}, "condition"), 5, i);
    };
    out.report = pipeline::train(options(steps), net.parameters(), step, {}, hooks);
  }
  for (const auto& p : net.parameters())
    for (const T v : p.var.value().to_vector()) out.parameters.push_back(widened(v));
  return out;
}

}  // namespace denoising_runs
