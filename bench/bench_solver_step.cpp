// SPDX-License-Identifier: Apache-2.0
/// One TCD step, noise included, against a copy of the same tensor. Prints one JSON line.

#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/ops/random.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

namespace {

template <class F>
double milliseconds(F&& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  using namespace hypersd;
  int threads = 2, iterations = 200, warmup = 20;
  std::int64_t elements = std::int64_t{4} << 20;
  double eta = 0.3;
  CLI::App app{"Times one step of the TCD solver (see bench/run.sh)"};
  app.add_option("--threads", threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--iters", iterations, "timed steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", warmup, "steps before")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--elements", elements, "floats in the sample")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--eta", eta, "share of the time that is re-noised")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(threads);

  const diffusion::Tcd solver{{.eta = eta}};
  const auto c = solver.step(diffusion::StableDiffusion(), {999, 749, false});
  const Shape shape{1, elements};
  const auto x = ops::normal<float>(shape, stream(1, "x")), prediction = ops::normal<float>(shape, stream(1, "e"));
  const Tensor<float> out(shape), destination(shape);

  std::vector<double> steps, copies;
  for (int i = 0; i < warmup + iterations; ++i) {
    const double step = milliseconds([&] {
      diffusion::apply_step_into(out, {c}, x, prediction, stream(1, "noise", static_cast<std::uint64_t>(i)));
    });
    const double copy = milliseconds([&] {
      parallel_for(elements, (elements + threads - 1) / threads, [&](std::int64_t begin, std::int64_t end) {
        std::memcpy(destination.data() + begin, x.data() + begin,
                    static_cast<std::size_t>(end - begin) * sizeof(float));
      });
    });
    if (i < warmup) continue;
    steps.push_back(step);
    copies.push_back(copy);
  }
  const double ms = median(steps), copy_ms = median(copies);
  std::printf(
      "{\"name\": \"tcd_step\", \"elements\": %lld, \"ms\": %.4f, \"copy_ms\": %.4f, \"copies\": %.3f, "
      "\"ms_min\": %.4f, \"copy_ms_min\": %.4f, \"threads\": %d, \"eta\": %g}\n",
      static_cast<long long>(elements), ms, copy_ms, ms / copy_ms, *std::min_element(steps.begin(), steps.end()),
      *std::min_element(copies.begin(), copies.end()), threads, eta);
}
