// SPDX-License-Identifier: Apache-2.0
// Whole chains against diffusers' schedulers and, for PeRFlow, NumPy (tests/golden/README.md).
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>
#include <hypersd/io/safetensors.hpp>

#include "diffusion/gaussian_oracle.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

/// One recorded chain: states x[0 ... n], the noise of each step, the times.
template <class T>
struct Chain {
  Tensor<T> x, noise;
  Times times;
  EndPoint end;

  Chain(const io::SafetensorsFile& file, const std::string& name)
      : x(file.get<T>(name + ".x")), end(name.ends_with(".clean") ? EndPoint::clean : EndPoint::first_entry) {
    const auto t = file.get<std::int64_t>(name + ".t");
    times.assign(t.data(), t.data() + t.size());
    noise = file.contains(name + ".noise") ? file.get<T>(name + ".noise") : Tensor<T>::zeros(x.shape());
  }
  static Tensor<T> entry(const Tensor<T>& stack, std::int64_t i) {
    return stack.slice(i, i + 1).reshape({stack.shape().begin() + 1, stack.shape().end()});
  }
};

template <class T, class P>
struct Check {
  const io::SafetensorsFile& file;
  GaussianOracle<P> oracle{table, file.get<double>("mean"), file.get<double>("deviation").item()};

  /// The chain from its evaluations, one after the other, with the recorded noise. Returns the largest error.
  template <class S>
  double by_hand(const S& solver, const std::string& name) const {
    const Chain<T> chain(file, name);
    Tensor<T> x = chain.entry(chain.x, 0).clone();
    std::array<Tensor<T>, kMemories> memory;
    std::vector<StepTimes> before;
    double worst = 0;
    const std::size_t n = chain.times.size();
    for (std::size_t i = 0; i < n; ++i) {
      const bool last = i + 1 == n;
      const StepTimes times{chain.times[i], last ? Discrete<P>(table).time(chain.end) : chain.times[i + 1], last};
      const auto at = static_cast<std::int64_t>(i);
      for (const Evaluation& e : evaluations_of(solver, Discrete<P>(table), times, before)) {
        const auto f = oracle(x, Tensor<T>::full(Shape{x.dim(0)}, static_cast<T>(e.time)), Unconditional{});
        const auto z = chain.entry(chain.noise, at);
        const auto combined = [&](const StepCoefficients& c) {
          Tensor<T> out(x.shape());
          for (std::int64_t j = 0; j < x.size(); ++j) {
            double sum = c.x * static_cast<double>(x[j]) + c.prediction * static_cast<double>(f[j]);
            for (std::size_t k = 0; k < kMemories; ++k)
              if (c.memory[k] != 0) sum += c.memory[k] * static_cast<double>(memory[k][j]);
            out[j] = static_cast<T>(sum + c.noise * static_cast<double>(z[j]));
          }
          return out;
        };
        const Tensor<T> next = combined(e.update);
        std::array<Tensor<T>, kMemories> remembered;
        for (std::size_t k = 0; k < e.remember.size(); ++k) remembered[k] = combined(e.remember[k]);
        x = next;
        if (!e.remember.empty()) memory = remembered;
      }
      worst = std::max(worst, numbers::distance(x, chain.entry(chain.x, at + 1)));
      before.push_back(times);
    }
    return worst;
  }

  /// The chain as a sampler makes it, without noise.
  template <class S>
  double sampled(typename S::Options options, const std::string& name) const {
    const Chain<T> chain(file, name);
    double worst = 0;
    int seen = 0;
    const Sampler<S, Process<ScaledLinear, P>> sampler(options);
    sampler(oracle, chain.entry(chain.x, 0), Unconditional{}, chain.times, {.end = chain.end},
            [&](int i, StepTimes, const auto& x) {
              worst = std::max(worst, numbers::distance(x, chain.entry(chain.x, i + 1)));
              ++seen;
            });
    CHECK(seen == static_cast<int>(chain.times.size()));
    return worst;
  }
};

const io::SafetensorsFile& file() {
  static const io::SafetensorsFile opened(HYPERSD_TEST_DATA "/more_solvers.safetensors");
  return opened;
}

template <class F>
void with_prediction(const std::string& name, F&& f) {
  if (name == "v")
    f(Velocity{});
  else if (name == "x0")
    f(X0{});
  else
    f(Epsilon{});
}

/// All chains of one of diffusers' schedulers.
template <class S>
void check_all(std::vector<std::string> predictions) {
  for (const int n : {1, 2, 4, 8, 25})
    for (const std::string& prediction : predictions) {
      const std::string name = std::string(S::name) + "." + std::to_string(n) + "." + prediction + ".clean";
      CAPTURE(name);
      with_prediction(prediction, [&](auto p) {
        const Check<float, decltype(p)> check{file()};
        CHECK(check.by_hand(S{}, name) <= 2e-5);
        if constexpr (DeterministicSolver<S>) CHECK(check.template sampled<S>({}, name) <= 2e-5);
      });
    }
}

}  // namespace

TEST_CASE("LCM chains equal diffusers'") { check_all<Lcm>({"eps", "v", "x0"}); }
TEST_CASE("Euler chains equal diffusers'") { check_all<Euler>({"eps", "v"}); }
TEST_CASE("ancestral Euler chains equal diffusers'") { check_all<EulerAncestral>({"eps", "v"}); }
TEST_CASE("Heun chains equal diffusers'") { check_all<Heun>({"eps", "v"}); }
TEST_CASE("DPM-Solver++(2M) chains equal diffusers'") { check_all<DpmPp2M>({"eps", "v"}); }

TEST_CASE("chains that end on the first level equal diffusers'") {
  const Check<float, Epsilon> check{file()};
  CHECK(check.sampled<Euler>({}, "euler.4.eps.first") <= 2e-5);
  CHECK(check.sampled<DpmPp2M>({}, "dpmpp_2m.8.eps.first") <= 2e-5);
}

TEST_CASE("PeRFlow chains equal its formulas in continuous time") {
  for (const auto& pair : {std::pair{1, 1}, {1, 4}, {2, 2}, {2, 8}, {4, 4}, {4, 8}, {5, 25}})
    for (const std::string prediction : {"eps", "v"}) {
      const int windows = pair.first, n = pair.second;
      const std::string name = "perflow" + std::to_string(windows) + "." + std::to_string(n) + "." + prediction;
      CAPTURE(name);
      with_prediction(prediction, [&](auto p) {
        const Check<double, decltype(p)> check{file()};
        CHECK(check.by_hand(PerFlow{{windows}}, name + ".first") <= 1e-11);
        CHECK(check.template sampled<PerFlow>({windows}, name + ".first") <= 1e-11);
      });
    }
  for (const auto& pair : {std::pair{1, 1}, {4, 4}, {4, 8}, {5, 25}}) {
    const PerFlow::Options options{pair.first, PerFlowNoise::window};
    const std::string name = "perflow" + std::to_string(pair.first) + "." + std::to_string(pair.second) + ".eps.own";
    CAPTURE(name);
    const Check<double, Epsilon> check{file()};
    CHECK(check.by_hand(PerFlow{options}, name + ".first") <= 1e-11);
    CHECK(check.sampled<PerFlow>(options, name + ".first") <= 1e-11);
  }
}
