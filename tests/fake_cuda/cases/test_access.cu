// SPDX-License-Identifier: Apache-2.0
// How the compiled kernels use memory: what is asked of it beside the least that would do. What runs at the speed of
// memory on a GPU must move whole sectors, and shared memory must not serve lanes one after another.
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/ops/affine_step.hpp>
#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/resample.hpp>
#include <hypersd/ops/softmax.hpp>

#include <fake_cuda/cases/check.hpp>
#include <numbers.hpp>
#include <optim/deferred_runs.hpp>

using namespace hypersd;

namespace {

/// A device that runs kernels and watches what they ask for.
struct Watched {
  fake_cuda::Clean clean;
  Watched() {
    fake_cuda::device().runs_kernels = true;
    fake_cuda::device().meters = true;
  }
  ~Watched() { fake_cuda::device() = {}; }
};

template <class T>
Tensor<T, Cuda> in(const Shape& shape, const char* name) {
  return ops::cast<T>(numbers::normal<float>(shape, name)).template to<Cuda>();
}

/// Of everything that the kernels of `f` moved, the share that had to be: of global memory and of shared memory.
struct Shares {
  double global, shared, instructions;
};
template <class F>
Shares shares(F&& f) {
  fake_cuda::reset();
  f();
  hypersd::detail::CudaContext::current().synchronise("access");
  fake_cuda::Traffic global, shared;
  std::int64_t instructions = 0;
  const auto add = [](fake_cuda::Traffic& to, const fake_cuda::Traffic& from) {
    to.moved += from.moved;
    to.least += from.least;
  };
  for (const auto& [name, m] : fake_cuda::metered()) {
    add(global, m.reads);
    add(global, m.writes);
    add(shared, m.shared);
    instructions += m.instructions;
  }
  const auto share = [](const fake_cuda::Traffic& t) {
    return t.moved == 0 ? 1.0 : static_cast<double>(t.least) / static_cast<double>(t.moved);
  };
  return {share(global), share(shared), static_cast<double>(instructions)};
}

}  // namespace

TEST_CASE("Memory of a warp is counted by sectors and banks") {
  const Watched watched;
  const auto x = in<float>({64, 64}, "x");
  // Rows of 4 bytes 256 apart: a sector each, eight times what is asked for. The writes lie together.
  const double turned = shares([&] { (void)ops::permute(x, {1, 0}); }).global;
  CHECK(turned == doctest::Approx(2.0 / 9.0));
  CHECK(shares([&] { (void)ops::permute(x, {0, 1}); }).global == 1);
}

TEST_CASE_TEMPLATE("A solver step moves whole sectors", T, float, bfloat16) {
  const Watched watched;
  const std::int64_t n = 1 << 14;
  const auto table = diffusion::noise_table<diffusion::ScaledLinear>();
  const auto x = in<T>({1, n}, "x"), prediction = in<T>({1, n}, "p");
  const Tensor<T, Cuda> out(Shape{1, n});
  const auto scale = [](double v) { return Tensor<float, Cuda>::full(Shape{1}, static_cast<float>(v)); };
  const auto c = diffusion::Tcd{{.eta = 0.3}}.step(diffusion::Discrete<>(table), {999, 749, false});
  ops::AffineStep<T, Cuda> step{x, scale(c.x), prediction, scale(c.prediction)};
  step.noise_scale = scale(c.noise);
  CHECK(shares([&] {
          ops::affine_step_into(out, step, ops::StepNoise<Cuda>{stream(1, "noise"), 0, {}});
        }).global > 0.99);
}

TEST_CASE_TEMPLATE("Normalisation moves whole sectors, also where a group's channels fill none", T, float, bfloat16) {
  const Watched watched;
  const auto x = in<T>({1, 32, 32, 320}, "x"), gamma = in<T>({320}, "gamma"), beta = in<T>({320}, "beta");
  const auto silu = ops::Activation::silu;
  ops::Normalized<T, Cuda> y;
  CHECK(shares([&] { y = ops::group_norm(x, gamma, beta, 32, 1e-5, silu); }).global > 0.8);
  CHECK(shares([&] { (void)ops::group_norm_gradient(x, x, gamma, beta, y.mean, y.rstd, silu, true); }).global > 0.85);
  const auto rows = x.reshape({1024, 320});
  CHECK(shares([&] { y = ops::layer_norm(rows, gamma, beta); }).global > 0.95);
  CHECK(shares([&] { (void)ops::layer_norm_gradient(rows, rows, gamma, y.mean, y.rstd, true); }).global > 0.95);
  CHECK(shares([&] { (void)ops::softmax(rows); }).global > 0.95);
}

TEST_CASE_TEMPLATE("Copies, patches and gated units move whole sectors in few instructions", T, float, bfloat16) {
  const Watched watched;
  const auto x = in<T>({1, 16, 16, 64}, "x"), w = in<T>({64, 3, 3, 64}, "w"), u = in<T>({64, 640}, "u");
  const auto lean = [&](std::int64_t elements, double most, auto f) {
    const Shares s = shares(f);
    CHECK(s.global > 0.95);
    CHECK(s.instructions / static_cast<double>(elements) < most);
  };
  lean(2 * x.size(), 20, [&] { (void)ops::concat_last(x, x); });
  lean(4 * x.size(), 20, [&] { (void)ops::upsample_nearest(x, 32, 32); });
  lean(9 * x.size(), 30, [&] { (void)ops::conv2d(x, w, Tensor<T, Cuda>{}, {1, 1}); });
  lean(u.size() / 2, 60, [&] { (void)ops::gated(ops::Gelu{}, u); });
}

TEST_CASE("Attention on tensor cores: lanes seldom wait for each other's shared memory") {
  const Watched watched;
  const auto q = in<bfloat16>({1, 128, 80}, "q"), k = in<bfloat16>({1, 128, 80}, "k");
  ops::AttentionResult<bfloat16, Cuda> y;
  const auto scores = static_cast<double>(2 * 128 * 128);
  const Shares forward = shares([&] { y = ops::attention(q, k, k, 2); });
  const Shares backward = shares([&] { (void)ops::attention_gradient(q, q, k, k, y, 2); });
  CHECK(forward.shared > 0.75);
  CHECK(backward.shared > 0.8);
  CHECK(forward.instructions / scores < 25);
  CHECK(backward.instructions / scores < 75);
}

TEST_CASE("AdamW and its average move whole sectors") {
  const Watched watched;
  CHECK(shares([] { (void)deferred_runs::deferred<float, Cuda>(1, 1.0, 2); }).global > 0.95);
}
