// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/softmax.hpp>

#include <gpu.hpp>

using namespace hypersd;
using gpu::distance_to_cpu;
using gpu::host;
using gpu::normal;

namespace {

template <class T = float>
using Some = std::vector<Tensor<T>>;

struct Softmax {
  std::int64_t rows, cols;
  template <class D>
  Some<> operator()(D) const {
    Tensor<std::int32_t> labels(Shape{rows});
    for (std::int64_t r = 0; r < rows; ++r) labels[r] = static_cast<std::int32_t>((7 * r + 3) % cols);
    const auto x = normal<D>({rows, cols}, "x"), g = normal<D>({rows, cols}, "g"), y = ops::softmax(x);
    const auto target = labels.to<D>();
    const auto one = Tensor<float, D>::full({1}, 0.5F);
    return {host(y), host(ops::softmax_gradient(g, y)), host(ops::cross_entropy(x, target, 0.1)),
            host(ops::cross_entropy_gradient(one, x, target, 0.1))};
  }
};
struct GroupNorm {
  Shape shape;
  std::int64_t groups;
  ops::Activation activation;
  template <class D>
  Some<> operator()(D) const {
    const auto x = normal<D>(shape, "x"), gy = normal<D>(shape, "gy");
    const auto gamma = normal<D>({shape[-1]}, "gamma"), beta = normal<D>({shape[-1]}, "beta");
    const auto a = ops::group_norm(x, gamma, beta, groups, 1e-2, activation);
    const auto g = ops::group_norm_gradient(gy, x, gamma, beta, a.mean, a.rstd, activation, true);
    return {host(a.y), host(a.mean), host(a.rstd), host(g.x), host(g.gamma), host(g.beta)};
  }
};
struct LayerNorm {
  std::int64_t rows, cols;
  template <class D>
  Some<> operator()(D) const {
    const auto x = normal<D>({rows, cols}, "x"), gy = normal<D>({rows, cols}, "gy");
    const auto gamma = normal<D>({cols}, "gamma"), beta = normal<D>({cols}, "beta");
    const auto a = ops::layer_norm(x, gamma, beta, 0.1);
    const auto g = ops::layer_norm_gradient(gy, x, gamma, a.mean, a.rstd, true);
    return {host(a.y), host(a.mean), host(a.rstd), host(g.x), host(g.gamma), host(g.beta)};
  }
};
struct Convolution {
  Shape x, w;
  ops::Conv2dOptions options;
  template <class D>
  Some<double> operator()(D) const {
    const auto in = normal<D, double>(x, "x"), weight = normal<D, double>(w, "w"),
               bias = normal<D, double>({w[0]}, "b");
    const auto y = ops::conv2d(in, weight, bias, options);
    const auto gy = normal<D, double>(y.shape(), "gy");
    return {host(y), host(ops::conv2d_input_gradient(gy, weight, x, options)),
            host(ops::conv2d_weight_gradient(gy, in, w, options))};
  }
};
template <class T>
struct Attention {
  std::int64_t batch, n, m, dim, heads;
  bool causal;
  template <class D>
  Some<T> operator()(D) const {
    const auto q = normal<D, T>({batch, n, heads * dim}, "q"), gy = normal<D, T>({batch, n, heads * dim}, "gy");
    const auto k = normal<D, T>({batch, m, heads * dim}, "k"), v = normal<D, T>({batch, m, heads * dim}, "v");
    const auto y = ops::attention(q, k, v, heads, causal);
    const auto g = ops::attention_gradient(gy, q, k, v, y, heads, causal);
    return {host(y.y), host(y.log_sum), host(g.q), host(g.k), host(g.v)};
  }
};
struct Linear {
  std::int64_t in;
  template <class D>
  Some<double> operator()(D) const {
    const auto x = normal<D, double>({50, in}, "x"), w = normal<D, double>({33, in}, "w");
    return {host(ops::linear(x, w, normal<D, double>({33}, "b"))), host(ops::linear(x, w, Tensor<double, D>{}))};
  }
};

}  // namespace

TEST_CASE("CUDA: softmax, cross-entropy and layer normalisation") {
  if (!gpu::have_device()) return;
  for (const std::int64_t cols : {1, 33, 64, 65, 1000}) {
    INFO(cols);
    CHECK(distance_to_cpu(Softmax{50, cols}) < 1e-5);
    CHECK(distance_to_cpu(LayerNorm{700, cols}) < 2e-4);
  }
}

TEST_CASE("CUDA: group normalisation with and without SiLU") {
  if (!gpu::have_device()) return;
  for (const auto act : {ops::Activation::none, ops::Activation::silu}) {
    CHECK(distance_to_cpu(GroupNorm{{4, 16, 16, 64}, 8, act}) < 5e-4);
    CHECK(distance_to_cpu(GroupNorm{{2, 7, 5, 30}, 3, act}) < 5e-4);
    CHECK(distance_to_cpu(GroupNorm{{1, 3, 2, 600}, 1, act}) < 5e-4);
    CHECK(distance_to_cpu(GroupNorm{{2, 32, 32, 40}, 4, act}) < 5e-4);  // in chunks
  }
}

TEST_CASE("CUDA: convolutions of every geometry, in double") {
  if (!gpu::have_device()) return;
  CHECK(distance_to_cpu(Convolution{{3, 16, 16, 8}, {16, 3, 3, 8}, {1, 1}}) < 1e-11);
  CHECK(distance_to_cpu(Convolution{{2, 15, 17, 6}, {8, 3, 3, 6}, {2, 1}}) < 1e-11);
  CHECK(distance_to_cpu(Convolution{{2, 16, 16, 3}, {8, 3, 3, 3}, {2, 0, 1}}) < 1e-11);
  CHECK(distance_to_cpu(Convolution{{2, 9, 9, 16}, {8, 1, 1, 16}, {1, 0}}) < 1e-11);
}

TEST_CASE("CUDA: attention and its gradients") {
  if (!gpu::have_device()) return;
  CHECK(distance_to_cpu(Attention<float>{2, 64, 64, 16, 4, false}) < 2e-5);
  CHECK(distance_to_cpu(Attention<float>{2, 130, 77, 40, 2, false}) < 2e-5);
  CHECK(distance_to_cpu(Attention<float>{1, 100, 100, 64, 2, true}) < 2e-5);
  CHECK(distance_to_cpu(Attention<float>{1, 70, 33, 160, 1, false}) < 2e-5);
  CHECK(distance_to_cpu(Attention<float>{1, 20, 30, 512, 1, false}) < 5e-5);
  CHECK(distance_to_cpu(Attention<float>{3, 10, 1, 8, 2, false}) < 2e-5);
  CHECK(distance_to_cpu(Attention<double>{2, 40, 50, 24, 2, false}) < 1e-12);
}

TEST_CASE("CUDA: linear layers, a summed axis of length 0 among them") {
  if (!gpu::have_device()) return;
  for (const std::int64_t in : {0, 1, 70}) CHECK(distance_to_cpu(Linear{in}) < 1e-12);
}
