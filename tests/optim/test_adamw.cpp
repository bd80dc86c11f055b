// SPDX-License-Identifier: Apache-2.0
#include <hypersd/optim/adamw.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/ops/random.hpp>
#include <map>

using namespace hypersd;

namespace {

/// The update written out in double for one element, after PyTorch's documentation of AdamW.
struct Reference {
  double m = 0, v = 0;
  int t = 0;
  double step(double p, double g, double lr, const optim::AdamWOptions& o) {
    ++t;
    p -= lr * o.weight_decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, t)), v_hat = v / (1 - std::pow(o.beta2, t));
    return p - lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

template <class T>
optim::ParameterList<T> random_parameters(const std::vector<std::int64_t>& sizes) {
  optim::ParameterList<T> list;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    list.push_back({"p" + std::to_string(i), Var<T>(ops::normal<T>(Shape{sizes[i]}, stream(1, "init", i)), true)});
  return list;
}

template <class T>
void random_gradients(const optim::ParameterList<T>& list, std::uint64_t step) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto var = list[i].var;
    var.set_grad(ops::normal<T>(var.shape(), stream(2, "gradient", step * 100 + i)));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("AdamW follows the written-out update", T, float, double) {
  const optim::AdamWOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1};
  // Sizes around the chunk length, so that chunks begin and end inside tensors.
  const auto list = random_parameters<T>({1, 3, 16385, 70, 40000});
  std::vector<std::vector<Reference>> reference;
  std::vector<std::vector<double>> expected;
  for (const auto& p : list) {
    reference.emplace_back(static_cast<std::size_t>(p.var.size()));
    const auto values = p.var.value().to_vector();
    expected.emplace_back(values.begin(), values.end());
  }
  optim::AdamW<T> optimizer(list, options);
  for (std::uint64_t step = 0; step < 5; ++step) {
    random_gradients<T>(list, step);
    const double lr = 1e-2 / static_cast<double>(step + 1);
    optimizer.step(lr, 0.5);
    for (std::size_t i = 0; i < list.size(); ++i)
      for (std::size_t j = 0; j < expected[i].size(); ++j)
        expected[i][j] = reference[i][j].step(
            expected[i][j], 0.5 * static_cast<double>(list[i].var.grad()[static_cast<std::int64_t>(j)]), lr, options);
  }
  double worst = 0;
  for (std::size_t i = 0; i < list.size(); ++i)
    for (std::size_t j = 0; j < expected[i].size(); ++j)
      worst = std::max(
          worst, std::abs(expected[i][j] - static_cast<double>(list[i].var.value()[static_cast<std::int64_t>(j)])));
  CHECK(worst < (sizeof(T) == 4 ? 2e-6 : 1e-14));
}

TEST_CASE("AdamW's first step has length lr along the sign of the gradient") {
  Var<double> p(Tensor<double>::from(Shape{3}, {1.0, 2.0, 3.0}), true);
  p.set_grad(Tensor<double>::from(Shape{3}, {1e-3, -20.0, 0.0}));
  optim::AdamW<double> optimizer({{"p", p}}, {.weight_decay = 0});
  optimizer.step(0.1);
  CHECK(p.value()[0] == doctest::Approx(0.9).epsilon(1e-4));
  CHECK(p.value()[1] == doctest::Approx(2.1));
  CHECK(p.value()[2] == 3.0);
}

TEST_CASE("AdamW leaves a parameter without gradient and its step count alone") {
  Var<float> used(Tensor<float>::ones(Shape{2}), true), unused(Tensor<float>::ones(Shape{2}), true);
  optim::AdamW<float> optimizer({{"used", used}, {"unused", unused}}, {.weight_decay = 0.5});
  used.set_grad(Tensor<float>::ones(Shape{2}));
  optimizer.step(0.1);
  CHECK(used.value()[0] != 1.0F);
  CHECK(unused.value()[0] == 1.0F);
  CHECK(optimizer.slots()[0].steps[0] == 1);
  CHECK(optimizer.slots()[1].steps[0] == 0);
  optimizer.zero_grad();
  CHECK_FALSE(used.grad().defined());
}

TEST_CASE("AdamW's result does not depend on the thread count") {
  const int threads = num_threads();
  std::vector<std::vector<float>> results;
  for (const int n : {1, 2, 3}) {
    set_num_threads(n);
    const auto list = random_parameters<float>({50000, 7, 1000});
    optim::AdamW<float> optimizer(list);
    for (std::uint64_t step = 0; step < 3; ++step) {
      random_gradients<float>(list, step);
      optimizer.step(1e-3);
    }
    results.push_back(list[0].var.value().to_vector());
  }
  set_num_threads(threads);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("AdamW's state can be read and written through visit_state") {
  auto run = [](int restart_after) {
    auto list = random_parameters<float>({100, 20});
    auto optimizer = std::make_unique<optim::AdamW<float>>(list);
    for (int step = 0; step < 6; ++step) {
      if (step == restart_after) {
        std::map<std::string, std::vector<float>> moments;
        std::map<std::string, std::int64_t> steps;
        optimizer->visit_state(
            [&](const std::string& name, const auto& t) {
              if constexpr (std::is_same_v<std::decay_t<decltype(t[0])>, float>)
                moments[name] = t.to_vector();
              else
                steps[name] = t[0];
            },
            "adam.");
        CHECK(moments.count("adam.p0.mean") == 1);
        CHECK(steps.at("adam.p1.steps") == step);
        optimizer = std::make_unique<optim::AdamW<float>>(list);
        optimizer->visit_state(
            [&](const std::string& name, const auto& t) {
              if constexpr (std::is_same_v<std::decay_t<decltype(t[0])>, float>)
                t.copy_from(Tensor<float>::from(t.shape(), moments.at(name)));
              else
                t[0] = steps.at(name);
            },
            "adam.");
      }
      random_gradients<float>(list, static_cast<std::uint64_t>(step));
      optimizer->step(1e-2);
    }
    return list[1].var.value().to_vector();
  };
  CHECK(run(-1) == run(3));
}

TEST_CASE("AdamW minimises a quadratic") {
  Var<float> x(Tensor<float>::full(Shape{8}, 3.0F), true);
  const auto target = ops::normal<float>(Shape{8}, stream(4, "target"));
  optim::AdamW<float> optimizer({{"x", x}}, {.weight_decay = 0});
  float loss = 0;
  for (int step = 0; step < 400; ++step) {
    optimizer.zero_grad();
    const auto l = autograd::mse(x, target);
    loss = l.item();
    autograd::backward(l);
    optimizer.step(0.05);
  }
  CHECK(loss < 1e-4F);
}

TEST_CASE("AdamW refuses bad settings by name") {
  Var<float> p(Tensor<float>::ones(Shape{1}), true);
  const optim::ParameterList<float> list{{"p", p}};
  CHECK_THROWS_AS(optim::AdamW<float>(list, {.beta1 = 1.0}), OptionError);
  CHECK_THROWS_AS(optim::AdamW<float>(list, {.beta2 = -0.1}), OptionError);
  CHECK_THROWS_AS(optim::AdamW<float>(list, {.eps = 0}), OptionError);
  CHECK_THROWS_AS(optim::AdamW<float>(list, {.weight_decay = -1}), OptionError);
  CHECK_THROWS_WITH_AS(optim::AdamW<float>({{"p", p}, {"p", p}}), doctest::Contains("'p'"), OptionError);
  optim::AdamW<float> optimizer(list);
  CHECK_THROWS_AS(optimizer.step(-1.0), OptionError);
}
