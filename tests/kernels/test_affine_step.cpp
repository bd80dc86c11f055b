// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/ops/affine_step.hpp>
#include <hypersd/ops/cast.hpp>

using namespace hypersd;
using emulated::distance_to_cpu;
using emulated::host;

namespace {

const Stream noise = stream(11, "affine_step");

struct Square {
  template <class A>
  HYPERSD_HD A operator()(A x) const {
    return x * x;
  }
};

enum class First { stored, computed };

/// A step in place of its first operand (of x, where that is computed), with every sample's scales its own.
template <class T>
struct Step {
  Shape shape;
  bool second, noisy;
  std::int64_t offset;
  bool keyed = false;
  First first = First::stored;

  template <class D>
  auto operator()(D) const {
    using A = Accumulator<T>;
    using Result = std::vector<Tensor<A>>;
    const auto elements = [&](const char* name) {
      return ops::cast<T>(numbers::normal<float>(shape, name)).template to<D>();
    };
    const auto scales = [&](const char* name) { return numbers::normal<A>({shape[0]}, name).template to<D>(); };
    ops::AffineStep<T, D> a{elements("x"), scales("xs"), elements("first"), scales("fs")};
    if (second) a.second = elements("second"), a.second_scale = scales("ss");
    if (noisy) a.noise_scale = scales("ns");
    ops::StepNoise<D> from{noise, offset, {}};
    if (keyed) from = {{}, 0, Tensor<std::int64_t>::from({3}, ops::noise_key(noise, offset)).template to<D>()};
    if (first == First::stored) {
      ops::affine_step_into(a.first, a, from);
      return Result{host(a.first).template cast<A>()};
    }
    a.first = {};
    ops::affine_step_into(a.x, a, from, Square{});
    return Result{host(a.x).template cast<A>()};
  }
};

template <class T>
void check_all(double tolerance) {
  for (const Shape& shape : {Shape{3, 2011}, Shape{5, 3}, Shape{2, 8, 8, 3}, Shape{1, 1}, Shape{70, 37}, Shape{3, 64}})
    for (const bool second : {false, true})
      for (const bool noisy : {false, true})
        for (const std::int64_t offset : {0, 20, 64, 1001})
          CHECK(distance_to_cpu(Step<T>{shape, second, noisy, offset}) < tolerance);
}

}  // namespace

TEST_CASE("The kernel of a step, run on the host, is the CPU's step") {
  check_all<float>(2e-6);
  check_all<double>(1e-14);
  check_all<bfloat16>(0.07);  // one unit of values up to 16
}

TEST_CASE("Noise from a key in device memory is that of the same stream and offset") {
  for (const std::int64_t offset : {0, 17, 63, 64, 1001}) {
    const Step<float> direct{{3, 211}, true, true, offset}, keyed{{3, 211}, true, true, offset, true};
    CHECK(distance_to_cpu(keyed) < 2e-6);
    CHECK(numbers::distance(keyed(Cpu{})[0], direct(Cpu{})[0]) == 0);
    CHECK(numbers::distance(keyed(emulated::Kernels{})[0], direct(emulated::Kernels{})[0]) == 0);
  }
}

TEST_CASE("Operands that begin where several elements cannot be read at once") {
  const auto run = []<class D>(D) {
    const auto odd = [](const char* name) {
      return numbers::normal<float>({4, 211}, name).template to<D>().slice(1, 4);
    };
    const auto scales = [](const char* name) { return numbers::normal<float>({3}, name).template to<D>(); };
    ops::AffineStep<float, D> a{odd("x"), scales("xs"), odd("first"), scales("fs")};
    a.noise_scale = scales("ns");
    const auto out = Tensor<float, D>::zeros({4, 211}).slice(1, 4);
    ops::affine_step_into(out, a, noise, 0);
    return std::vector<Tensor<float>>{host(out)};
  };
  CHECK(distance_to_cpu(run) < 2e-6);
}

TEST_CASE("A first operand that is a function of x is computed in the step") {
  for (const bool noisy : {false, true}) {
    const Step<float> step{{3, 211}, false, noisy, 5, false, First::computed};
    CHECK(distance_to_cpu(step) < 4e-6);
    // x^2 stored, and read back.
    const auto x = numbers::normal<float>(step.shape, "x"), squares = x.clone();
    for (float& v : squares.span()) v *= v;
    const auto scales = [&](const char* name) { return numbers::normal<float>({3}, name); };
    ops::AffineStep<float, Cpu> a{x, scales("xs"), squares, scales("fs")};
    if (noisy) a.noise_scale = scales("ns");
    ops::affine_step_into(x, a, noise, 5);
    CHECK(numbers::distance(step(Cpu{})[0], x) < 1e-6);
  }
}

TEST_CASE("Items cover a step's elements once for any offset, also beyond 2^31 elements") {
  const std::int64_t n = (std::int64_t{1} << 33) + 77;
  const ops::launch::AffineStepElements<float, ops::StoredFirst> step{
      {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, n, n, {noise, 70}, nullptr}, {}};
  auto keyed = step;
  const std::int64_t key[3] = {};
  keyed.p.key = key;
  CHECK(step.size() == (((n + 70 - 1) / 64) - 70 / 64 + 1) * 16 / 4);
  CHECK(keyed.size() >= step.size());
  CHECK(keyed.size() - step.size() <= 4);
  CHECK(!ops::launch::narrow(std::int64_t{1} << 31));
  CHECK(ops::launch::philox_element(70, 4 * step.size() - 1, 3) - 70 >= n - 1);
}
