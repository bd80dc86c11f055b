// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/nn/linear.hpp>

/// \file
/// Heads that map the embedding of an image to a score. Both published heads are stacks of linear layers without
/// activations, so that each is one affine map, which `fold` computes. The dropout between their layers acts in
/// training only and is omitted.

namespace hypersd::nn {

/// Sizes of a stack of linear layers, embedding -> widths... -> 1; the default has 927,969 parameters.
struct ScoreHeadConfig {
  std::int64_t embedding = 768;                         ///< width of the embedding
  std::vector<std::int64_t> widths{1024, 128, 64, 16};  ///< widths of the hidden layers
};

/// 1 / sqrt(x), and 1 where x is 0.
struct InverseRoot {
  template <class T>
  HYPERSD_HD T operator()(T x) const {
    return x > T(0) ? T(1) / math::sqrt(x) : T(1);
  }
  template <int I, class T>
  HYPERSD_HD T d(T x) const {
    return x > T(0) ? T(-0.5) / (x * math::sqrt(x)) : T(0);
  }
};

/// Rows of x [B, C] divided by their Euclidean norms; a row of zeros stays zero.
template <class T, class D>
Var<T, D> unit_rows(const Var<T, D>& x) {
  const auto lengths = autograd::sum_to_samples(autograd::map(ops::Square{}, x));
  return autograd::mul(x, ops::per_sample(autograd::map(InverseRoot{}, lengths)));
}

/// A head as one affine map: score = weight . e + bias, where e is the embedding (its unit vector if `normalise`).
struct FoldedHead {
  std::vector<double> weight;  ///< [embedding]
  double bias = 0;             ///< added to the score
  bool normalise = false;      ///< whether embeddings are divided by their norms first

  /// Embeddings [B, weight.size()] -> scores [B].
  template <class T, class D>
  Var<T, D> operator()(const Var<T, D>& embedding) const {
    const auto width = static_cast<std::int64_t>(weight.size());
    std::vector<T> row;
    for (const double v : weight) row.push_back(converted<T>(v));
    const Var<T, D> w(Tensor<T, D>::from(Shape{1, width}, row));
    const Var<T, D> b(Tensor<T, D>::full(Shape{1}, converted<T>(bias)));
    const auto score = autograd::linear(normalise ? unit_rows(embedding) : embedding, w, b);
    return autograd::reshape(score, Shape{embedding.dim(0)});
  }
};

/// A sequence of linear layers. Names are those of the PyTorch model, where a dropout follows each layer but the last
/// two: `layers.0`, `layers.2`, `layers.4`, `layers.6`, `layers.7` for four hidden widths.
template <Scalar T, Device D = Cpu>
struct LinearStack {
  using value_type = T;
  using device_type = D;

  std::vector<Linear<T, D>> layers;

  LinearStack() = default;
  /// Throws OptionError unless all sizes are positive.
  explicit LinearStack(const ScoreHeadConfig& c) {
    std::int64_t in = c.embedding;
    require<OptionError>(in >= 1, "score head: embeddings of ", in, " numbers");
    for (const std::int64_t out : c.widths) {
      require<OptionError>(out >= 1, "score head: a layer of width ", out);
      layers.emplace_back(in, out);
      in = out;
    }
    layers.emplace_back(in, 1);
  }
  /// x [B, embedding] -> [B]. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& x) const {
    require<ShapeError>(x.rank() == 2 && !layers.empty() && x.dim(1) == layers[0].weight.dim(1), "score head: input ",
                        x.shape(), ", [B, ", layers.empty() ? 0 : layers[0].weight.dim(1), "] needed");
    auto h = x;
    for (const auto& layer : layers) h = layer(h);
    return autograd::reshape(h, Shape{x.dim(0)});
  }
  /// The composition of the layers, computed in double.
  [[nodiscard]] FoldedHead fold() const {
    FoldedHead out{{1.0}};
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
      const auto w = layer->effective_weight().value().template to<Cpu>();
      const auto b = layer->bias.get().value().template to<Cpu>();
      std::vector<double> next(static_cast<std::size_t>(w.dim(1)), 0.0);
      for (std::int64_t i = 0; i < w.dim(0); ++i) {
        const double v = out.weight[static_cast<std::size_t>(i)];
        out.bias += v * static_cast<double>(b[i]);
        for (std::int64_t j = 0; j < w.dim(1); ++j)
          next[static_cast<std::size_t>(j)] += v * static_cast<double>(w[i * w.dim(1) + j]);
      }
      out.weight = std::move(next);
    }
    return out;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::size_t place = i + 1 == layers.size() && i > 0 ? 2 * i - 1 : 2 * i;
      layers[i].visit(f, join(prefix, "layers." + std::to_string(place)));
    }
  }
};

/// The aesthetic predictor of LAION ("improved aesthetic predictor"): the L2-normalised image embedding of CLIP
/// ViT-L/14 -> a score of about 1 to 10. Names as in its state dict, `layers.0.weight` and so on.
template <Scalar T, Device D = Cpu>
struct AestheticHead {
  using value_type = T;
  using device_type = D;

  LinearStack<T, D> stack;

  AestheticHead() = default;
  explicit AestheticHead(const ScoreHeadConfig& c) : stack(c) {}
  /// Embeddings [B, embedding], of any norm -> scores [B]. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& embedding) const { return stack(unit_rows(embedding)); }
  /// The same as one vector and a bias.
  [[nodiscard]] FoldedHead fold() const {
    FoldedHead out = stack.fold();
    out.normalise = true;
    return out;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    stack.visit(f, prefix);
  }
};

/// The head of ImageReward: the feature of token 0 of its text-and-image encoder -> (raw - mean) / deviation, which
/// standardizes rewards on the training data of ImageReward. Names as in its checkpoint, `mlp.layers.0.weight` and so
/// on; fresh weights are N(0, (1 / (embedding + 1))^2), biases 0.
template <Scalar T, Device D = Cpu>
struct ImageRewardHead {
  using value_type = T;
  using device_type = D;
  static constexpr double mean = 0.16717362830052426, deviation = 1.0333394966054072;

  LinearStack<T, D> mlp;

  ImageRewardHead() = default;
  explicit ImageRewardHead(const ScoreHeadConfig& c) : mlp(c) {
    for (auto& layer : mlp.layers) {
      layer.weight = {layer.weight.shape(), Initializer::normal(1 / static_cast<double>(c.embedding + 1))};
      layer.bias = {layer.bias.shape(), Initializer::zeros()};
    }
  }
  /// Features [B, embedding] -> rewards [B]. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& feature) const {
    return autograd::affine(mlp(feature), static_cast<Accumulator<T>>(1 / deviation),
                            static_cast<Accumulator<T>>(-mean / deviation));
  }
  /// The same as one vector and a bias.
  [[nodiscard]] FoldedHead fold() const {
    FoldedHead out = mlp.fold();
    for (double& w : out.weight) w /= deviation;
    out.bias = (out.bias - mean) / deviation;
    return out;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "mlp", mlp);
  }
};

}  // namespace hypersd::nn
