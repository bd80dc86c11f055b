// SPDX-License-Identifier: Apache-2.0
// Single steps and whole chains against diffusers' schedulers (tests/golden/README.md).
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/io/safetensors.hpp>

#include "diffusion/gaussian_oracle.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <string>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// One run of a scheduler of diffusers: states x[0..n], predictions, noises, times.
template <class T>
struct Run {
  Tensor<T> x, model, noise;
  Times t, t_next, landing;
  double eta = 0;

  Run(const io::SafetensorsFile& file, const std::string& name)
      : x(file.get<T>(name + ".x")),
        model(file.get<T>(name + ".model")),
        noise(file.contains(name + ".noise") ? file.get<T>(name + ".noise") : Tensor<T>::zeros(model.shape())),
        t(times(file, name + ".t")),
        t_next(times(file, name + ".t_next")),
        landing(file.contains(name + ".s") ? times(file, name + ".s") : Times{}),
        eta(file.get<double>(name + ".eta").item()) {}

  static Times times(const io::SafetensorsFile& file, const std::string& name) {
    const auto v = file.get<std::int64_t>(name);
    return {v.data(), v.data() + v.size()};
  }
  [[nodiscard]] std::int64_t steps() const { return model.dim(0); }
  /// Entry i of a stack, [B, ...].
  static Tensor<T> entry(const Tensor<T>& stack, std::int64_t i) {
    return stack.slice(i, i + 1).reshape({stack.shape().begin() + 1, stack.shape().end()});
  }
};

/// The names of a file's runs.
std::set<std::string> runs(const io::SafetensorsFile& file) {
  std::set<std::string> out;
  for (const std::string& name : file.names())
    if (name.ends_with(".eta")) out.insert(name.substr(0, name.size() - 4));
  return out;
}

/// f(P{}) with the prediction type in a run's name.
template <class F>
void with_prediction(const std::string& name, F&& f) {
  if (has(name, ".v."))
    f(Velocity{});
  else if (has(name, ".x0."))
    f(X0{});
  else
    f(Epsilon{});
}

/// Steps of run `name` from diffusers' own states, each compared with the next state.
template <class T, class S>
void check_steps(const io::SafetensorsFile& file, const std::string& name, const NoiseTable& table, double tolerance) {
  CAPTURE(name);
  const Run<T> run(file, name);
  const S solver{{.eta = run.eta}};
  with_prediction(name, [&](auto p) {
    for (std::int64_t i = 0; i < run.steps(); ++i) {
      CAPTURE(i);
      const auto at = static_cast<std::size_t>(i);
      // diffusers' -1 is the end point; a run called `first` ends at entry 0.
      const Time to = run.t_next[at] < 0 && has(name, ".first.") ? 0 : run.t_next[at];
      const bool last = i + 1 == run.steps();
      const StepCoefficients c = solver.step(Discrete<decltype(p)>(table), {run.t[at], to, last});
      const auto x = run.entry(run.x, i), want = run.entry(run.x, i + 1);
      const std::vector<double> one(static_cast<std::size_t>(x.dim(0)), 1.0);
      auto scale = [&](double v) { return sample_scales<T, Cpu>(std::vector<double>(one.size(), v)); };
      const Tensor<T> out(x.shape());
      // The noise is given, so it takes the place of a second prediction.
      ops::affine_step_into(out, ops::AffineStep<T, Cpu>{x, scale(c.x), run.entry(run.model, i), scale(c.prediction),
                                                         run.entry(run.noise, i), scale(c.noise)});
      CHECK(numbers::distance(out, want) <= tolerance);
      if (!run.landing.empty() && !last)
        CHECK(Tcd{{run.eta}}.landing(Discrete<>(table), run.t_next[at]) == run.landing[at]);
    }
  });
}

/// A run without noise as a sampler makes it, every state compared.
template <class S, class C, class P>
void check_chain(const io::SafetensorsFile& file, const std::string& name, const SampleOptions& options) {
  CAPTURE(name);
  const Run<float> run(file, name);
  const Sampler<S, Process<C, P>> sampler({.eta = run.eta});
  const GaussianOracle<P> oracle{sampler.process().schedule(), file.get<double>("mean"),
                                 file.get<double>("deviation").item()};
  int seen = 0;
  sampler(oracle, run.entry(run.x, 0), Unconditional{}, run.t, options, [&](int i, StepTimes, const auto& x) {
    CHECK(numbers::distance(x, run.entry(run.x, i + 1)) <= 2e-5);
    ++seen;
  });
  CHECK(seen == run.steps());
}

}  // namespace

TEST_CASE("every DDIM step equals diffusers'") {
  const io::SafetensorsFile file(HYPERSD_TEST_DATA "/solver_ddim.safetensors");
  const NoiseTable table = noise_table<ScaledLinear>(), zero = noise_table<ZeroTerminalSnr<>>();
  const auto names = runs(file);
  CHECK(names.size() == 55);
  int doubles = 0;
  for (const std::string& name : names) {
    const NoiseTable& levels = has(name, "zero_snr") ? zero : table;
    if (name.starts_with("f64.")) {
      check_steps<double, Ddim>(file, name, levels, 1e-12);
      ++doubles;
    } else {
      check_steps<float, Ddim>(file, name, levels, 2e-5);
    }
  }
  CHECK(doubles == 3);
}

TEST_CASE("every TCD step and landing equals diffusers'") {
  const io::SafetensorsFile file(HYPERSD_TEST_DATA "/solver_tcd.safetensors");
  const NoiseTable table = noise_table<ScaledLinear>();
  const auto names = runs(file);
  CHECK(names.size() == 53);
  for (const std::string& name : names) {
    if (name.starts_with("f64."))
      check_steps<double, Tcd>(file, name, table, 1e-12);
    else
      check_steps<float, Tcd>(file, name, table, 2e-5);
  }
}

TEST_CASE("whole DDIM chains without noise equal diffusers'") {
  const io::SafetensorsFile file(HYPERSD_TEST_DATA "/solver_ddim.safetensors");
  int chains = 0;
  for (const std::string& name : runs(file)) {
    if (!name.ends_with(".eta0")) continue;
    ++chains;
    const SampleOptions options{.end = has(name, ".clean.") ? EndPoint::clean : EndPoint::first_entry,
                                .diffusers_prev = true};
    if (has(name, "zero_snr")) {
      check_chain<Ddim, ZeroTerminalSnr<>, Velocity>(file, name, options);
    } else {
      with_prediction(name, [&](auto p) { check_chain<Ddim, ScaledLinear, decltype(p)>(file, name, options); });
    }
  }
  CHECK(chains == 27);
}

TEST_CASE("whole TCD chains without noise equal diffusers'") {
  const io::SafetensorsFile file(HYPERSD_TEST_DATA "/solver_tcd.safetensors");
  int chains = 0;
  for (const std::string& name : runs(file)) {
    // A single step injects no noise, whatever eta.
    const bool single = has(name, "origin50.1.") || has(name, "origin40.1.") || has(name, "custom1.");
    if (!single && !name.ends_with(".eta0")) continue;
    ++chains;
    with_prediction(name, [&](auto p) { check_chain<Tcd, ScaledLinear, decltype(p)>(file, name, {}); });
  }
  CHECK(chains == 25);
}
