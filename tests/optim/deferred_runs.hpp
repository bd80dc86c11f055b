// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/optim/enqueued_steps.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

/// \file
/// Clipped AdamW with an average, step by step or deferred, as functions of element type and device.

namespace deferred_runs {

using namespace hypersd;

struct Outcome {
  std::vector<float> parameters, averages, moments;
  std::vector<double> losses, norms;
  std::vector<std::int64_t> steps;
  std::int64_t bad = -1;
  int part = -1;
};

template <class T, class D>
optim::ParameterList<T, D> parameters() {
  optim::ParameterList<T, D> list;
  for (const std::int64_t n : {1, 100, 8192, 30001}) {
    const std::string name = "p" + std::to_string(n);
    const auto start = ops::normal<float>(Shape{n}, stream(1, name));
    list.push_back({name, Var<T, D>(ops::cast<T>(start).template to<D>(), true)});
  }
  return list;
}

/// Gradients of step `step`; "p100" has none in every third, and `bad` makes one of "p8192" infinite.
template <class T, class D>
void set_gradients(const optim::ParameterList<T, D>& list, int step, bool bad) {
  for (auto p : list) {
    p.var.zero_grad();
    if (p.name == "p100" && step % 3 == 2) continue;
    auto g = ops::cast<T>(ops::normal<float>(p.var.shape(), stream(2, p.name, static_cast<std::uint64_t>(step))));
    if (bad && p.name == "p8192") g[77] = converted<T>(std::numeric_limits<float>::infinity());
    p.var.set_grad(g.template to<D>());
  }
}

template <class T, class D>
Tensor<T, D> loss_of(int step) {
  return Tensor<T, D>::full(Shape{1}, converted<T>(1.0F / static_cast<float>(step + 1)));
}

template <class T, class D>
void read(Outcome& out, const optim::ParameterList<T, D>& list, const optim::AdamW<T, D>& adamw,
          const optim::Ema<T, D>& ema) {
  const auto add = [](std::vector<float>& to, const auto& t) {
    for (const auto x : t.to_vector()) to.push_back(static_cast<float>(widened(x)));
  };
  for (const auto& p : list) add(out.parameters, p.var.value());
  for (const auto& a : ema.exact()) add(out.averages, a);
  for (const auto& p : ema.parameters()) add(out.averages, p.var.value());
  for (const auto& slot : adamw.slots()) {
    add(out.moments, slot.mean);
    add(out.moments, slot.square);
    if (slot.master.defined()) add(out.moments, slot.master);
    out.steps.push_back(slot.steps[0]);
  }
  out.steps.push_back(ema.updates());
}

inline double rate(int step) { return 1e-2 / (step + 1); }

/// `steps` steps of `grad_norm`, `AdamW::step` and `Ema::update`.
template <class T, class D>
Outcome step_by_step(int steps, double max_norm) {
  const auto list = parameters<T, D>();
  optim::AdamW<T, D> adamw(list, {.weight_decay = 0.1});
  optim::Ema<T, D> ema(list, {.decay = 0.9, .warm_up = true});
  Outcome out;
  for (int step = 0; step < steps; ++step) {
    set_gradients(list, step, false);
    out.losses.push_back(static_cast<double>(widened(loss_of<T, Cpu>(step)[0])));
    out.norms.push_back(optim::grad_norm(list));
    adamw.step(rate(step), optim::clip_factor(out.norms.back(), max_norm));
    ema.update();
  }
  read(out, list, adamw, ema);
  return out;
}

/// The same deferred, asked every `ask` steps; step `bad` has an infinite gradient, and the run ends where that is
/// told.
template <class T, class D>
Outcome deferred(int steps, double max_norm, int ask, int bad = -1) {
  const auto list = parameters<T, D>();
  optim::AdamW<T, D> adamw(list, {.weight_decay = 0.1});
  optim::Ema<T, D> ema(list, {.decay = 0.9, .warm_up = true});
  optim::EnqueuedSteps<T, D> update(adamw, &ema, max_norm, ask);
  Outcome out;
  for (int step = 0; step < steps && out.bad < 0; ++step) {
    set_gradients(list, step, step == bad);
    update.prepare(rate(step));
    update.enqueue(loss_of<T, D>(step));
    update.done();
    if ((step + 1) % ask != 0 && step + 1 != steps) continue;
    const auto told = update.synchronize();
    if (told.bad >= 0) out.bad = step + 1 - static_cast<int>(told.losses.size()) + told.bad;
    out.losses.insert(out.losses.end(), told.losses.begin(), told.losses.end());
    out.norms.insert(out.norms.end(), told.norms.begin(), told.norms.end());
  }
  read(out, list, adamw, ema);
  return out;
}

/// The same with gradients in one piece of memory and losses of three parts; in step `bad` the second part is NaN.
template <class T, class D>
Outcome flat(int steps, double max_norm, int ask, int bad = -1) {
  using A = Accumulator<T>;
  using Update = optim::EnqueuedSteps<T, D>;
  const auto list = parameters<T, D>();
  optim::AdamW<T, D> adamw(list, {.weight_decay = 0.1});
  optim::Ema<T, D> ema(list, {.decay = 0.9, .warm_up = true});
  Update update(adamw, &ema, max_norm, ask, Update::Gradients::flat);
  Outcome out;
  for (int step = 0; step < steps && out.bad < 0; ++step) {
    set_gradients(list, step, false);
    std::vector<A> numbers, present;
    for (auto p : list) {
      present.push_back(p.var.grad().defined() ? A(0.5) : A(0));
      const auto g = (p.var.grad().defined() ? p.var.grad() : Tensor<T, D>::zeros(p.var.shape())).to_vector();
      for (const T x : g) numbers.push_back(widened(x));
      p.var.zero_grad();
    }
    const auto elements = static_cast<std::int64_t>(numbers.size()), count = static_cast<std::int64_t>(present.size());
    numbers.insert(numbers.end(), present.begin(), present.end());
    const A loss = widened(loss_of<T, Cpu>(step)[0]);
    for (const A part : {loss / 2, step == bad ? std::numeric_limits<A>::quiet_NaN() : loss / 4, loss / 4})
      numbers.push_back(part);
    const auto memory = Tensor<A, D>::from(Shape{elements + count + 3}, numbers);
    update.prepare(rate(step));
    update.enqueue({memory.data(), memory.data() + elements, memory.data() + elements + count, 3});
    update.done();
    if ((step + 1) % ask != 0 && step + 1 != steps) continue;
    const auto told = update.synchronize();
    if (told.bad >= 0) out.bad = step + 1 - static_cast<int>(told.losses.size()) + told.bad;
    out.part = told.part;
    out.losses.insert(out.losses.end(), told.losses.begin(), told.losses.end());
    out.norms.insert(out.norms.end(), told.norms.begin(), told.norms.end());
  }
  read(out, list, adamw, ema);
  return out;
}

/// Largest difference of parameters, averages and moments; infinite where there are other numbers of them.
inline double distance(const Outcome& a, const Outcome& b) {
  double worst = a.steps == b.steps ? 0 : INFINITY;
  const auto compare = [&](const std::vector<float>& x, const std::vector<float>& y) {
    if (x.size() != y.size()) worst = INFINITY;
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  };
  compare(a.parameters, b.parameters);
  compare(a.averages, b.averages);
  compare(a.moments, b.moments);
  return worst;
}

}  // namespace deferred_runs
