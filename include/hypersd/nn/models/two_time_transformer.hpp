// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/init.hpp>
#include <hypersd/nn/interval.hpp>
#include <string>
#include <utility>

namespace hypersd::nn {

/// A diffusion transformer (`Dit`, `PixArt`, `MmDit`) with a second time, for flow maps: an embedding of the length
/// t - end of the jump is added to that of the time t. Its last layer starts at zero: until it is trained, the network
/// is the one inside, whatever the end. Parameters are those of that network, and `end_embedding`.
template <Module Net>
struct TwoTimeTransformer {
  using value_type = typename Net::value_type;
  using device_type = typename Net::device_type;
  using Condition = typename Net::Condition;
  using T = value_type;
  using D = device_type;

  Net net;
  TimestepEmbedding<T, D> end_embedding;

  TwoTimeTransformer() = default;
  /// Holds `network`, and declares the embedding.
  explicit TwoTimeTransformer(Net network) : net(std::move(network)) {
    const std::int64_t channels = net.config.channels();
    end_embedding = TimestepEmbedding<T, D>(net.time_features.dim(), channels);
    end_embedding.linear_2.weight = {Shape{channels, channels}, Initializer::zeros()};
    end_embedding.linear_2.bias = {Shape{channels}, Initializer::zeros()};
  }
  /// A student of `network`: a copy of its parameters, and a new embedding, drawn from `seed`.
  static TwoTimeTransformer student_of(const Net& network, std::uint64_t seed) {
    TwoTimeTransformer out(deep_copy(network));
    init_parameters(out.end_embedding, seed, "end_embedding");
    return out;
  }

  /// Prediction for the jump from x at training times `t.t` to `t.end`, [B] each. Throws as the network inside.
  Var<T, D> operator()(const Var<T, D>& x, const Interval<T, D>& t, const Condition& condition) const {
    return net.predict(x, t.t, condition, end_embedding(net.time_features(t.length())));
  }
  /// The same for end = t: the prediction of the process itself.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition) const {
    return (*this)(x, Interval<T, D>{t, t}, condition);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    net.visit(f, prefix);
    visit_members(f, prefix, "end_embedding", end_embedding);
  }
};

}  // namespace hypersd::nn
