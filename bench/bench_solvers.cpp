// SPDX-License-Identifier: Apache-2.0
/// One step of every solver for every prediction type, fused as in a sampler and pass by pass, against a copy of the
/// same tensor. Prints one JSON line. `ms` is the time of the fastest of the timed steps; the first `ms` is the sum.

#include <hypersd/diffusion.hpp>
#include <hypersd/ops/random.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

using namespace hypersd;
using namespace hypersd::diffusion;

struct Run {
  int threads = 2, iterations = 15, warmup = 3;
  std::int64_t elements = std::int64_t{4} << 20;
};
struct Row {
  std::string solver, prediction;
  double ms, unfused_ms;
  int streams;  // tensors that the step reads or writes
};

template <class F>
double milliseconds(F&& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

/// Time of the fastest step: steps are short, and a shared machine interrupts some of them.
double fastest(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }

constexpr StepTimes before{999, 749, false}, now{749, 499, false};

/// Tensors of a step; one prediction stands for that of every evaluation.
struct State {
  explicit State(std::int64_t elements)
      : x(ops::normal<float>(Shape{1, elements}, stream(1, "x"))),
        prediction(ops::normal<float>(x.shape(), stream(1, "e"))),
        memory(ops::normal<float>(x.shape(), stream(1, "m"))),
        out(x.shape()),
        remembered(x.shape()),
        converted(x.shape()),
        noise(x.shape()) {}
  Tensor<float> x, prediction, memory, out, remembered, converted, noise;
};

/// One pass per evaluation, and one more for the memory of a multistep solver.
void fused(const State& s, const std::vector<Evaluation>& evaluations, Stream z) {
  for (const Evaluation& e : evaluations) {
    for (const StepCoefficients& m : e.remember) apply_step_into(s.remembered, {m}, s.x, s.prediction, {});
    apply_step_into(s.out, {e.update}, s.x, s.prediction, z, 0, s.memory);
  }
}

/// The textbook's order, a pass for each line: clean data, the update, the memory, the noise.
template <class Process>
void unfused(const State& s, const Process& process, const std::vector<Evaluation>& evaluations, Stream z) {
  const auto combine = [](const Tensor<float>& out, double a, const Tensor<float>& x, double b,
                          const Tensor<float>& y) {
    ops::map_into(out, ops::LinearCombination<float>{static_cast<float>(a), static_cast<float>(b)}, x, y);
  };
  for (const Evaluation& e : evaluations) {
    const Tensor<float>& x0 = std::same_as<typename Process::Prediction, X0> ? s.prediction : s.converted;
    if constexpr (!std::same_as<typename Process::Prediction, X0>) {
      const Form form = process.x0(e.time);
      combine(s.converted, form.x, s.x, form.prediction, s.prediction);
    }
    for (const StepCoefficients& m : e.remember) combine(s.remembered, m.x, s.x, m.prediction, x0);
    combine(s.out, e.update.x, s.x, e.update.prediction, x0);
    if (e.update.memory[0] != 0) combine(s.out, 1, s.out, e.update.memory[0], s.memory);
    if (e.update.noise != 0) {
      ops::normal_into(s.noise, z);
      combine(s.out, 1, s.out, e.update.noise, s.noise);
    }
  }
}

template <class S, class P>
void measure(const Run& run, const State& s, std::vector<Row>& rows, std::vector<double>& copies) {
  const Process<ScaledLinear, P> process;
  const auto evaluations = evaluations_of(S{}, process, now, {&before, 1});
  const auto on_data = evaluations_of(S{}, process.template with<X0>(), now, {&before, 1});
  int streams = 0;
  for (const Evaluation& e : evaluations)
    streams += 3 + (e.update.memory[0] != 0 ? 1 : 0) + (e.remember.empty() ? 0 : 3);
  std::vector<double> together, apart;
  for (int i = 0; i < run.warmup + run.iterations; ++i) {
    const Stream z = stream(1, "noise", static_cast<std::uint64_t>(i));
    const double a = milliseconds([&] { fused(s, evaluations, z); });
    const double b = milliseconds([&] { unfused(s, process, on_data, z); });
    const double copy = milliseconds([&] {
      parallel_for(run.elements, (run.elements + run.threads - 1) / run.threads,
                   [&](std::int64_t begin, std::int64_t end) {
                     std::memcpy(s.noise.data() + begin, s.x.data() + begin,
                                 static_cast<std::size_t>(end - begin) * sizeof(float));
                   });
    });
    if (i < run.warmup) continue;
    together.push_back(a);
    apart.push_back(b);
    copies.push_back(copy);
  }
  rows.push_back({S::name, P::name, fastest(together), fastest(apart), streams});
}

template <class... S>
void measure_all(const Run& run, const State& s, std::vector<Row>& rows, std::vector<double>& copies) {
  (measure<S, Epsilon>(run, s, rows, copies), ...);
  (measure<S, Velocity>(run, s, rows, copies), ...);
  (measure<S, X0>(run, s, rows, copies), ...);
}

}  // namespace

int main(int argc, char** argv) {
  Run run;
  CLI::App app{"Times one step of every solver (see bench/run.sh)"};
  app.add_option("--threads", run.threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--iters", run.iterations, "timed steps each")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", run.warmup, "steps before")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--elements", run.elements, "floats in the sample")->check(CLI::PositiveNumber)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(run.threads);

  const State state(run.elements);
  std::vector<Row> rows;
  std::vector<double> copies;
  measure_all<Ddim, Tcd, Lcm, Euler, EulerAncestral, Heun, DpmPp2M, PerFlow>(run, state, rows, copies);

  const double copy_ms = fastest(copies), elements = static_cast<double>(run.elements);
  double total = 0;
  for (const Row& r : rows) total += r.ms;
  std::printf(
      "{\"name\": \"solvers\", \"elements\": %lld, \"ms\": %.4f, \"copy_ms\": %.4f, \"threads\": %d, \"rows\": [",
      static_cast<long long>(run.elements), total, copy_ms, run.threads);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    // A copy moves two tensors.
    std::printf(
        "%s{\"solver\": \"%s\", \"prediction\": \"%s\", \"ms\": %.4f, \"ns_per_element\": %.4f, "
        "\"copy_bandwidth\": %.3f, \"unfused_ms\": %.4f, \"unfused_over_fused\": %.3f}",
        i == 0 ? "" : ", ", r.solver.c_str(), r.prediction.c_str(), r.ms, 1e6 * r.ms / elements,
        r.streams / 2.0 * copy_ms / r.ms, r.unfused_ms, r.unfused_ms / r.ms);
  }
  std::printf("]}\n");
}
