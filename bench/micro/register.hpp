// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/distill/objective.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

/// \file
/// Registers benchmarks with Google Benchmark: solvers, objectives, operations. A solver or objective of your own takes
/// one line in a file of bench/micro, or in one that `bash bench/run.sh --micro FILE.cpp` names:
///
///   #include "register.hpp"
///   const bool mine = hypersd::bench::solver<MySolver, hypersd::diffusion::Flow>();
///
/// Figures: `GFLOP/s`, and `of_copy_%`, the bandwidth in per cent of that of a copy of as many bytes. On a GPU where
/// nvcc compiles the file, else on the CPU with `HYPERSD_BENCH_THREADS` threads (default: all).

namespace hypersd::bench {

#if HYPERSD_HAS_CUDA
using BenchDevice = Cuda;
inline void synchronize() { hypersd::detail::CudaContext::current().synchronise("bench"); }
#else
using BenchDevice = Cpu;
inline void synchronize() {}
#endif

/// Work of one call, for the figures; 0 leaves a figure out.
struct Work {
  double flops = 0;  ///< floating-point operations
  double bytes = 0;  ///< bytes that must be read or written
};

/// Bytes per second, read and written, of a copy that moves about `bytes` bytes, as the fastest of several.
inline double copy_bandwidth(double bytes) {
  static std::map<std::int64_t, double> known;
  const auto n = std::max<std::int64_t>(1024, static_cast<std::int64_t>(bytes / 2 / sizeof(float)));
  if (const auto it = known.find(n); it != known.end()) return it->second;
  const Tensor<float, BenchDevice> from = Tensor<float, BenchDevice>::zeros(Shape{n}), to(Shape{n});
  double best = 1e30;
  for (int i = 0; i < 20; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    if constexpr (std::same_as<BenchDevice, Cpu>) {
      const std::int64_t chunk = (n + num_threads() - 1) / num_threads();
      parallel_for(n, std::max<std::int64_t>(chunk, 4096), [&](std::int64_t first, std::int64_t last) {
        std::memcpy(to.data() + first, from.data() + first, static_cast<std::size_t>(last - first) * sizeof(float));
      });
    } else {
      to.copy_from(from);
    }
    synchronize();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return known[n] = 2 * static_cast<double>(n) * sizeof(float) / best;
}

/// Registers `name`: `make()` allocates what the call needs and returns it as a callable.
template <class Make>
bool add(const std::string& name, Work work, Make make) {
  const auto run = [work, make](benchmark::State& state) {
    auto call = make();
    call();  // fills the memory pool
    synchronize();
    const auto begin = std::chrono::steady_clock::now();
    for (auto _ : state) {
      call();
      synchronize();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
                           static_cast<double>(state.iterations());
    if (work.flops > 0) state.counters["GFLOP/s"] = work.flops / seconds * 1e-9;
    if (work.bytes > 0) state.counters["of_copy_%"] = 100 * work.bytes / seconds / copy_bandwidth(work.bytes);
  };
  auto* registered = benchmark::RegisterBenchmark(name.c_str(), run);
  registered->UseRealTime()->Unit(benchmark::kMicrosecond);
  return true;
}

/// Text of an element type.
template <class T>
std::string type() {
  return std::same_as<T, double> ? "f64" : std::same_as<T, float> ? "f32" : std::same_as<T, half> ? "f16" : "bf16";
}

/// A network that takes no time: the same prediction each time.
template <class T>
struct StillDenoiser {
  Tensor<T, BenchDevice> prediction;
  template <class Numbers>
  Tensor<T, BenchDevice> operator()(const Tensor<T, BenchDevice>& /*x*/, const Numbers& /*t*/,
                                    diffusion::Unconditional) const {
    return prediction;
  }
};

/// Registers four steps of `Solver` on `Process` by the sampler, with a network that takes no time: at the latent size
/// of Stable Diffusion for one picture, and at 4 Mi elements. Bytes are those of x, predictions and memories.
template <class Solver, class Process, class T = float>
bool solver(typename Solver::Options options = {}, const Process& process = {}) {
  const diffusion::Sampler<Solver, Process> sampler(options, process);
  double tensors = 0;
  for (const auto& step : sampler.plan(4))
    for (const diffusion::Evaluation& e : step.evaluations) {
      tensors += 3 + static_cast<double>(e.remember.size());
      for (const double m : e.update.memory) tensors += m != 0 ? 1 : 0;
    }
  for (const auto& [size, shape] : {std::pair{"latent", Shape{1, 64, 64, 4}}, {"4Mi", Shape{16, 256, 256, 4}}}) {
    const double bytes = tensors * static_cast<double>(shape.numel()) * sizeof(T);
    add(std::string("solver/") + Solver::name + "/" + Process::name() + "/" + type<T>() + "/" + size, {0, bytes},
        [sampler, shape = shape] {
          const auto x = ops::normal<T, BenchDevice>(shape, stream(1, "x"));
          const StillDenoiser<T> net{ops::normal<T, BenchDevice>(shape, stream(1, "prediction"))};
          return [=] { benchmark::DoNotOptimize(sampler(net, x, diffusion::Unconditional{}, 4)); };
        });
  }
  return true;
}

/// eps = w2 silu(w1 [x, t, c]): a small network for objectives, samples [B, 64].
struct Mlp {
  using value_type = float;
  static constexpr std::int64_t width = 64, hidden = 256;
  Var<float, BenchDevice> w1, w2;

  explicit Mlp(const char* name, bool trained = false)
      : w1(ops::normal<float, BenchDevice>(Shape{hidden, width + 2}, stream(1, name)), trained),
        w2(ops::normal<float, BenchDevice>(Shape{width, hidden}, stream(2, name)), trained) {}
  Var<float, BenchDevice> operator()(const Var<float, BenchDevice>& x, const Tensor<float, BenchDevice>& t,
                                     const Tensor<float, BenchDevice>& c) const {
    const Shape column{x.dim(0), 1};
    const auto in = autograd::concat_channels(std::vector<Var<float, BenchDevice>>{
        x, Var<float, BenchDevice>(t.reshape(column)), Var<float, BenchDevice>(c.reshape(column))});
    return autograd::linear(autograd::silu(autograd::linear(in, w1)), w2);
  }
  void zero_grad() {
    w1.zero_grad();
    w2.zero_grad();
  }
};

/// Registers one iteration of `objective` on a batch of 256 samples with small networks: what it trains of its own, its
/// loss, and the backward pass.
template <class Objective>
bool objective(const std::string& name, Objective objective) {
  return add("objective/" + name, {}, [objective] {
    const Shape shape{256, Mlp::width};
    const auto c = Tensor<float, BenchDevice>::ones(Shape{256});
    const diffusion::Batch<float, BenchDevice, Tensor<float, BenchDevice>> batch{
        ops::normal<float, BenchDevice>(shape, stream(1, "data")), {c, c}};
    return [=, student = Mlp("student", true), teacher = Mlp("teacher"), target = Mlp("target")]() mutable {
      student.zero_grad();
      const diffusion::Randomness random{1, 1};
      autograd::backward(diffusion::learn_and_loss(objective, student, teacher, target, batch, random).loss);
    };
  });
}

/// Registers an operation of variables, `f(x...)`, with inputs of these shapes: its forward pass, and with `backward`
/// the forward and backward pass with gradients of all inputs. `work` is that of the forward pass.
template <class T, class F>
bool op(const std::string& name, const std::vector<Shape>& shapes, Work work, F f, bool backward = true) {
  const auto inputs = [shapes](bool trained) {
    std::vector<Var<T, BenchDevice>> out;
    for (std::size_t i = 0; i < shapes.size(); ++i)
      out.emplace_back(ops::normal<T, BenchDevice>(shapes[i], stream(i + 1, "input")), trained);
    return out;
  };
  add("op/" + name + "/" + type<T>() + "/forward", work,
      [=] { return [x = inputs(false), f] { benchmark::DoNotOptimize(f(x)); }; });
  if (!backward) return true;
  return add("op/" + name + "/" + type<T>() + "/forward+backward", {3 * work.flops, 3 * work.bytes}, [=] {
    return [x = inputs(true), f]() mutable {
      for (auto& v : x) v.zero_grad();
      autograd::backward(autograd::mean(f(x)));
    };
  });
}

}  // namespace hypersd::bench
