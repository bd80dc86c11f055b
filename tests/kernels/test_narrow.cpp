// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <narrow.hpp>

#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/gated.hpp>
#include <hypersd/ops/gather.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/normalize.hpp>
#include <hypersd/ops/resample.hpp>
#include <hypersd/ops/softmax.hpp>

using namespace hypersd;
using narrow::result;
using narrow::Results;

namespace {

/// The worst of the CPU and of the kernels with their threads in either order.
template <class T, class F>
double worst(F&& f, double floor = 1e-2) {
  const double cpu = narrow::roundings<T, Cpu>(f, floor), forward = narrow::roundings<T, emulated::Kernels>(f, floor);
  emulated::backward = true;
  const double backward = narrow::roundings<T, emulated::Kernels>(f, floor);
  emulated::backward = false;
  return std::max({cpu, forward, backward});
}

/// One rounding is half a unit in the last place: 1, and a little for the float sums before it.
constexpr double once = 1.1;

}  // namespace

TEST_CASE_TEMPLATE("16-bit elements: maps and sums round once", T, bfloat16, half) {
  CHECK(worst<T>([](auto in) {
          const auto x = in({6, 5, 7}, "x"), y = in({6, 5, 7}, "y"), sample = in({6}, "s"), channel = in({7}, "c");
          return Results{result(ops::map(ops::Gelu{}, x)),
                         result(ops::map(ops::Combine{}, x, y, ops::per_sample(sample), ops::per_channel(channel))),
                         result(ops::map(ops::Affine<float>{0.3F, 0.1F}, x)),
                         result(ops::sum(x)),
                         result(ops::map_sum(ops::Square{}, x)),
                         result(ops::sum_to_channels(in({3000, 70}, "long"))),
                         result(ops::sum_to_samples(x)),
                         result(ops::sum_to_sample_channels(x))};
        }) < once);
}

TEST_CASE_TEMPLATE("16-bit elements: gather, gated units, copies, resampling", T, bfloat16, half) {
  CHECK(worst<T>([]<class In>(In in) {
          using D = typename In::device_type;
          const auto ids = Tensor<std::int32_t>::from({2, 4}, {3, 0, 3, 2, 1, 3, 0, 3}).template to<D>();
          const auto x = in({3, 6, 4, 5}, "x"), table = in({5, 9}, "table");
          return Results{result(ops::embedding(table, ids)),
                         result(ops::embedding_gradient(in({2, 4, 9}, "g"), ids, 5)),
                         result(ops::gated(ops::Silu{}, in({7, 66}, "u"))),
                         result(ops::gated_gradient(ops::Gelu{}, in({7, 33}, "gu"), in({7, 66}, "u"))),
                         result(ops::gated(ops::Gelu{}, in({7, 32}, "u16"))),
                         result(ops::gated_gradient(ops::Gelu{}, in({7, 16}, "gu16"), in({7, 32}, "u16"))),
                         result(ops::concat_last(x, x)),
                         result(ops::concat_last(in({3, 8}, "c8"), in({3, 16}, "c16"))),
                         result(ops::upsample_nearest(in({2, 3, 2, 8}, "x8"), 6, 4)),
                         result(ops::slice_last(x, 1, 4)),
                         result(ops::permute(x, {0, 3, 1, 2})),
                         result(ops::upsample_nearest(x, 13, 8)),
                         result(ops::upsample_nearest_gradient(in({3, 13, 8, 5}, "gy"), x.shape())),
                         result(ops::downsample_mean2(x)),
                         result(ops::downsample_mean2_gradient(x))};
        }) < once);
}

TEST_CASE_TEMPLATE("16-bit elements: softmax and cross-entropy", T, bfloat16, half) {
  for (const std::int64_t cols : {1, 33, 300}) {
    CHECK(worst<T>([&]<class In>(In in) {
            using D = typename In::device_type;
            const auto x = in({5, cols}, "x"), g = in({5, cols}, "g"), one = in({1}, "one");
            const auto labels = Tensor<std::int32_t>::from({5}, {0, 0, static_cast<std::int32_t>(cols / 2), 0,
                                                                 static_cast<std::int32_t>(cols - 1)})
                                    .template to<D>();
            return Results{result(ops::softmax(x)), result(ops::softmax_gradient(g, x)),
                           result(ops::cross_entropy(x, labels, 0.1)),
                           result(ops::cross_entropy_gradient(one, x, labels, 0.1))};
          }) < once);
  }
}

TEST_CASE_TEMPLATE("16-bit elements: normalisation and its gradients, statistics in float", T, bfloat16, half) {
  for (const auto act : {ops::Activation::none, ops::Activation::silu}) {
    CHECK(worst<T>([&]<class In>(In in) {
            const auto x = in({2, 5, 7, 12}, "x"), gy = in({2, 5, 7, 12}, "gy"), a = in({12}, "a"), b = in({12}, "b");
            const auto n = ops::group_norm(x, a, b, 3, 1e-2, act);
            const auto g = ops::group_norm_gradient(gy, x, a, b, n.mean, n.rstd, act, true);
            const auto bare = ops::group_norm(x, {}, {}, 3, 1e-2, act);
            static_assert(std::same_as<decltype(n.mean), decltype(ops::group_norm(ops::cast<float>(x), {}, {}, 1).y)>);
            return Results{result(n.y), result(g.x), result(g.gamma), result(g.beta), result(bare.y)};
          }) < once);
  }
  for (const std::int64_t cols : {7, 300}) {
    CHECK(worst<T>([&](auto in) {
            const auto x = in({20, cols}, "x"), gy = in({20, cols}, "gy"), a = in({cols}, "a"), b = in({cols}, "b");
            const auto n = ops::layer_norm(x, a, b, 0.1);
            const auto g = ops::layer_norm_gradient(gy, x, a, n.mean, n.rstd, true);
            const auto m = ops::rms_norm(x, a, 0.1);
            const auto h = ops::rms_norm_gradient(gy, x, a, m.mean, m.rstd, true);
            return Results{result(n.y), result(g.x), result(g.gamma), result(g.beta),
                           result(m.y), result(h.x), result(h.gamma)};
          }) < once);
  }
}

TEST_CASE_TEMPLATE("16-bit elements: attention and its gradients", T, bfloat16, half) {
  for (const bool causal : {false, true}) {
    CHECK(worst<T>([&](auto in) {
            const auto q = in({2, 70, 24}, "q"), k = in({2, 70, 24}, "k"), v = in({2, 70, 24}, "v");
            return Results{result(ops::attention(q, k, v, 2, causal).y)};
          }) < once);
    // The gradient reads the stored result. All read the same: a float sum of another order may round to its neighbour.
    const narrow::Inputs<T, float, Cpu> wide;
    const auto shared =
        ops::attention(wide({2, 70, 24}, "q"), wide({2, 70, 24}, "k"), wide({2, 70, 24}, "v"), 2, causal);
    CHECK(worst<T>([&]<class In>(In in) {
            using E = typename In::value_type;
            using D = typename In::device_type;
            const auto q = in({2, 70, 24}, "q"), k = in({2, 70, 24}, "k"), v = in({2, 70, 24}, "v");
            const ops::AttentionResult<E, D> y{ops::cast<E>(wide.stored(shared.y)).template to<D>(),
                                               shared.log_sum.template to<D>()};
            const auto g = ops::attention_gradient(in(q.shape(), "gy"), q, k, v, y, 2, causal);
            return Results{result(g.q), result(g.k), result(g.v)};
          }) < once);
  }
  CHECK(worst<T>([](auto in) {
          const auto q = in({2, 9, 8}, "q"), k = in({2, 1, 8}, "k");
          const auto y = ops::attention(q, k, k, 2);
          return Results{result(y.y), result(ops::attention_gradient(q, q, k, k, y, 2).v)};
        }) < once);
}

TEST_CASE_TEMPLATE("16-bit elements: products add up in float", T, bfloat16, half) {
  CHECK(worst<T>([](auto in) {
          const auto a = in({17, 300}, "a"), b = in({300, 11}, "b"), w = in({11, 300}, "w"), bias = in({11}, "bias");
          const auto c = in({17, 11}, "c");
          const auto sum = c.clone();
          ops::gemm(sum, a, false, b, false, 0.25F, 1.0F);
          const auto batch = in({3, 4, 5}, "c3").clone();
          ops::batched_gemm(batch, in({3, 6, 4}, "a3"), true, in({3, 5, 6}, "b3"), true, 0.5F, 1.0F);
          return Results{result(ops::matmul(a, b)),
                         result(ops::matmul(w, a, false, true)),
                         result(ops::matmul(c, a, true, false)),
                         result(sum),
                         result(batch),
                         result(ops::linear(a, w, bias)),
                         result(ops::linear(a, w, {}))};
        }) < once);
}

TEST_CASE_TEMPLATE("16-bit elements: convolutions and their gradients", T, bfloat16, half) {
  for (const ops::Conv2dOptions o : {ops::Conv2dOptions{1, 1}, {2, 1}, {2, 0, 1}}) {
    CHECK(worst<T>([&](auto in) {
            const auto x = in({2, 6, 8, 8}, "x"), w = in({5, 3, 3, 8}, "w"), bias = in({5}, "b");
            const auto y = ops::conv2d(x, w, bias, o);
            return Results{result(y), result(ops::conv2d_weight_gradient(in(y.shape(), "gy"), x, w.shape(), o))};
          }) < once);
    // Kernels with a stride store the matrix of patches before they add up at most four of its numbers.
    const bool stored = o.stride > 1;
    CHECK(worst<T>(
              [&](auto in) {
                const auto w = in({5, 3, 3, 8}, "w"), gy = in({2, 6 / o.stride, 8 / o.stride, 5}, "gy");
                return Results{result(ops::conv2d_input_gradient(gy, w, {2, 6, 8, 8}, o))};
              },
              stored ? 1 : 1e-2) < (stored ? 3 : once));
  }
}

TEST_CASE_TEMPLATE("16-bit elements: random numbers are the float ones, rounded", T, bfloat16, half) {
  const Stream s = stream(3, "narrow");
  using D = emulated::Kernels;
  CHECK(numbers::distance(result(ops::normal<T, D>({77}, s, 5)),
                          result(ops::cast<T>(ops::normal<float>({77}, s, 5)))) == 0);
  CHECK(numbers::distance(result(ops::uniform<T>({77}, s, -2, 3)),
                          result(ops::cast<T>(ops::uniform<float>({77}, s, -2, 3)))) == 0);
}
