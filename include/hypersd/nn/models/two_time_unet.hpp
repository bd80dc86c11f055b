// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/init.hpp>
#include <hypersd/nn/interval.hpp>
#include <hypersd/nn/models/unet.hpp>

namespace hypersd::nn {

/// A UNet with a second time, for flow maps: an embedding of the length t - end of the jump is added to that of the
/// time t. Its last layer starts at zero: until it is trained, the network is the UNet inside, whatever the end.
/// Parameters are those of the UNet, and `end_embedding`.
template <Scalar T, Device D = Cpu>
struct TwoTimeUnet {
  using value_type = T;
  using device_type = D;
  using Condition = UnetCondition<T, D>;

  Unet<T, D> unet;
  TimestepEmbedding<T, D> end_embedding;

  TwoTimeUnet() = default;
  /// Declares the parameters, as `Unet` does.
  explicit TwoTimeUnet(const UnetConfig& c) : TwoTimeUnet(Unet<T, D>(c)) {}
  /// A student of `net`: a copy of its parameters, and a new embedding, drawn from `seed`. With `guidance` > 0 also one
  /// of guidance weights, of so many features, that starts at zero (`time_cond_proj_dim`), unless `net` has it.
  static TwoTimeUnet student_of(const Unet<T, D>& net, std::uint64_t seed, std::int64_t guidance = 0) {
    TwoTimeUnet out(deep_copy(net));
    auto& encoder = out.unet.encoder;
    if (guidance > 0 && encoder.config.time_cond_proj_dim == 0) {
      encoder.config.time_cond_proj_dim = guidance;
      auto& layer = encoder.time_embedding.cond_proj;
      layer = TimestepEmbedding<T, D>(encoder.config.block_out_channels[0], 1, guidance).cond_proj;
      init_parameters(*layer, seed, "cond_proj");
    }
    init_parameters(out.end_embedding, seed, "end_embedding");
    return out;
  }
  [[nodiscard]] const UnetConfig& config() const { return unet.config(); }

  /// Prediction [B, H, W, out_channels] for the jump from x [B, H, W, in_channels] at training times `t.t` to `t.end`,
  /// [B] each. `w` [B], if defined, are guidance weights, as of `Unet`. Throws ShapeError.
  Var<T, D> operator()(const Var<T, D>& x, const Interval<T, D>& t, const Condition& condition,
                       const Numbers<T, D>& w = {}) const {
    return unet.predict(x, t.t, condition, w, end_embedding(unet.encoder.time_features(t.length())));
  }
  /// The same for end = t: the prediction of the process itself.
  Var<T, D> operator()(const Var<T, D>& x, const Times<T, D>& t, const Condition& condition,
                       const Numbers<T, D>& w = {}) const {
    return (*this)(x, Interval<T, D>{t, t}, condition, w);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    unet.visit(f, prefix);
    visit_members(f, prefix, "end_embedding", end_embedding);
  }

 private:
  explicit TwoTimeUnet(Unet<T, D> net) : unet(std::move(net)) {
    const std::int64_t features = config().block_out_channels[0], channels = config().embedding_dim();
    end_embedding = TimestepEmbedding<T, D>(features, channels);
    end_embedding.linear_2.weight = {Shape{channels, channels}, Initializer::zeros()};
    end_embedding.linear_2.bias = {Shape{channels}, Initializer::zeros()};
  }
};

}  // namespace hypersd::nn
