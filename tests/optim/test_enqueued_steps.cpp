// SPDX-License-Identifier: Apache-2.0
#include <optim/deferred_runs.hpp>
//
#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace deferred_runs;

namespace {

void check_equal(const Outcome& a, const Outcome& b) {
  CHECK(a.parameters == b.parameters);
  CHECK(a.averages == b.averages);
  CHECK(a.moments == b.moments);
  CHECK(a.steps == b.steps);
}

}  // namespace

TEST_CASE_TEMPLATE("Enqueued steps are clipping, AdamW and average one after the other, bit for bit", T, float, double,
                   bfloat16, half) {
  for (const double max_norm : {0.0, 1.0, 1e4}) {
    const Outcome expected = step_by_step<T, Cpu>(7, max_norm), got = deferred<T, Cpu>(7, max_norm, 3);
    check_equal(got, expected);
    CHECK(got.losses == expected.losses);
    CHECK(got.norms == expected.norms);
    CHECK(got.bad == -1);
  }
}

TEST_CASE("A step that is not finite changes nothing, nor does any after it until synchronize()") {
  const Outcome expected = step_by_step<float, Cpu>(4, 1.0), got = deferred<float, Cpu>(20, 1.0, 3, 4);
  CHECK(got.bad == 4);
  CHECK(got.losses.size() == 6);
  CHECK(std::isinf(got.norms[4]));
  check_equal(got, expected);
}

TEST_CASE("A loss that is not finite stops updates too") {
  const auto list = parameters<float, Cpu>();
  optim::AdamW<float> adamw(list);
  optim::EnqueuedSteps<float, Cpu> update(adamw, nullptr, 1.0, 2);
  const auto before = list[2].var.value().to_vector();
  set_gradients(list, 0, false);
  update.prepare(1e-2);
  update.enqueue(Tensor<float>::full(Shape{1}, std::nanf("")));
  update.done();
  const auto told = update.synchronize();
  CHECK(told.bad == 0);
  CHECK(std::isnan(told.losses[0]));
  CHECK(list[2].var.value().to_vector() == before);
  CHECK(adamw.slots()[2].steps[0] == 0);
  update.prepare(1e-2);
  update.enqueue(Tensor<float>::full(Shape{1}, 1.0F));
  update.done();
  CHECK(update.synchronize().bad == -1);
  CHECK(list[2].var.value().to_vector() != before);
}

TEST_CASE_TEMPLATE("Flat gradients are those of the variables", T, float, double, bfloat16, half) {
  for (const double max_norm : {0.0, 1.0}) {
    for (const int ask : {1, 3, 20}) {
      const Outcome expected = deferred<T, Cpu>(20, max_norm, ask), got = flat<T, Cpu>(20, max_norm, ask);
      // The device multiplies powers and adds squares in another order.
      CHECK(distance(expected, got) < (Real<T> ? 1e-6 : 1e-2));
      CHECK(got.losses.size() == 20);
      CHECK(got.norms[19] == doctest::Approx(expected.norms[19]).epsilon(1e-12));
      CHECK(got.losses[19] == doctest::Approx(expected.losses[19]).epsilon(1e-6));
      CHECK(got.part == -1);
    }
  }
}

TEST_CASE("Flat gradients with a loss that is not finite change nothing, and the outcome names the part") {
  const Outcome got = flat<float, Cpu>(20, 1.0, 3, 4);
  CHECK(got.bad == 4);
  CHECK(got.part == 1);
  CHECK(distance(got, flat<float, Cpu>(4, 1.0, 3)) < 1e-6);
}

TEST_CASE("Enqueued steps: invalid arguments") {
  const auto list = parameters<float, Cpu>();
  optim::AdamW<float> adamw(list);
  optim::Ema<float> other({list[1], list[0], list[2], list[3]});
  CHECK_THROWS_WITH_AS((optim::EnqueuedSteps<float, Cpu>(adamw, &other, 1.0, 2)), doctest::Contains("average 'p100'"),
                       OptionError);
  CHECK_THROWS_AS((optim::EnqueuedSteps<float, Cpu>(adamw, nullptr, 1.0, 0)), OptionError);
  optim::EnqueuedSteps<float, Cpu> update(adamw, nullptr, 1.0, 1);
  CHECK_THROWS_AS(update.enqueue(Tensor<float>::ones(Shape{2})), ShapeError);
  CHECK_THROWS_AS(update.enqueue(optim::FlatGradients<float>{}), OptionError);
  using Update = optim::EnqueuedSteps<float, Cpu>;
  CHECK_THROWS_AS(Update(adamw, nullptr, 1.0, 1, Update::Gradients::flat).enqueue(Tensor<float>::ones(Shape{1})),
                  OptionError);
  CHECK_THROWS_AS(update.prepare(-1), OptionError);
  set_gradients(list, 0, false);
  update.prepare(1e-2);
  update.enqueue(Tensor<float>::ones(Shape{1}));
  update.done();
  CHECK_THROWS_WITH_AS(update.prepare(1e-2), doctest::Contains("without synchronize()"), OptionError);
}
