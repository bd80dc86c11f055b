// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/controlnet.hpp>
#include <hypersd/ops/copy.hpp>
#include <memory>
#include <utility>

namespace hypersd::stable_diffusion {

/// A ControlNet in use: its picture, its strength and the part of the run in which it acts.
template <Scalar T, Device D = Cpu>
struct Control {
  nn::ControlNet<T, D> net;
  Tensor<T, D> picture;       ///< [1, H, W, 3] in [0, 1], of the size of the image that is drawn
  double scale = 1;           ///< factor of its residuals
  double start = 0, end = 1;  ///< acts in step i of n if start <= i / n and (i + 1) / n <= end
};

/// A UNet with its ControlNets as one denoiser. The residuals of several add up. In guess mode the residuals have the
/// weights of `nn::ControlStrength`, and in a batch of both branches of guidance only the conditional one, the first
/// half, is controlled. The step of the run is told by `begin_step`; copies share it.
template <Scalar T, Device D = Cpu>
class ControlledUnet {
 public:
  using value_type = T;
  using device_type = D;
  using Condition = nn::UnetCondition<T, D>;

  /// For a run that draws `samples` images in `steps` steps. Throws OptionError for an empty window, ShapeError for a
  /// picture that does not fit.
  ControlledUnet(nn::Unet<T, D> unet, const std::vector<Control<T, D>>& controls, bool guess, std::int64_t samples,
                 std::int64_t steps)
      : unet_(std::move(unet)),
        guess_(guess),
        samples_(samples),
        steps_(steps),
        step_(std::make_shared<std::int64_t>(0)) {
    const autograd::NoGrad guard;
    for (const Control<T, D>& c : controls) {
      require<OptionError>(0 <= c.start && c.start < c.end && c.end <= 1, "ControlNet: it acts from ", c.start, " to ",
                           c.end, "; 0 <= start < end <= 1 is needed");
      require<ShapeError>(c.picture.rank() == 4 && c.picture.dim(0) == 1, "ControlNet: picture ", c.picture.shape(),
                          ", [1, H, W, C] needed");
      controls_.push_back(
          {c.net, c.net.controlnet_cond_embedding(Var<T, D>(c.picture)).value(), c.scale, c.start, c.end});
    }
  }

  /// Tells that step i, from 0 on, comes next.
  void begin_step(std::int64_t i) const { *step_ = i; }

  /// Arguments as those of `nn::Unet`.
  Var<T, D> operator()(const Var<T, D>& x, const Numbers<T, D>& t, const Condition& condition,
                       const Numbers<T, D>& w = {}) const {
    nn::ControlResiduals<T, D> sum;
    for (const Entry& c : controls_) {
      if (!acts(c)) continue;
      const auto residuals = residuals_of(c, x, t, condition);
      sum = sum.skips.empty() ? residuals : nn::add_residuals(sum, residuals);
    }
    return unet_(x, t, condition, w, sum.skips.empty() ? nullptr : &sum);
  }

 private:
  struct Entry {
    nn::ControlNet<T, D> net;
    Tensor<T, D> features;
    double scale, start, end;
  };

  [[nodiscard]] bool acts(const Entry& c) const {
    const auto i = static_cast<double>(*step_), n = static_cast<double>(steps_);
    return i / n >= c.start && (i + 1) / n <= c.end;
  }
  static Var<T, D> repeated(const Tensor<T, D>& one, std::int64_t batch) {
    return Var<T, D>(ops::concat_first(std::vector<Tensor<T, D>>(static_cast<std::size_t>(batch), one)));
  }
  nn::ControlResiduals<T, D> residuals_of(const Entry& c, const Var<T, D>& x, const Numbers<T, D>& t,
                                          const Condition& condition) const {
    const std::int64_t batch = x.dim(0);
    const nn::ControlStrength strength{c.scale, guess_};
    if (!guess_ || batch == samples_)
      return c.net.from_features(x, t, condition, repeated(c.features, batch), strength);
    const auto half = [&](const Var<T, D>& v) { return Var<T, D>(v.value().slice(0, samples_)); };
    Condition conditional{half(condition.tokens), condition.added.defined() ? half(condition.added) : Var<T, D>{}};
    auto out =
        c.net.from_features(half(x), t.slice(0, samples_), conditional, repeated(c.features, samples_), strength);
    const auto with_zeros = [](const Var<T, D>& v) {
      return Var<T, D>(ops::concat_first(v.value(), Tensor<T, D>::zeros(v.shape())));
    };
    for (auto& skip : out.skips) skip = with_zeros(skip);
    out.mid = with_zeros(out.mid);
    return out;
  }

  nn::Unet<T, D> unet_;
  std::vector<Entry> controls_;
  bool guess_;
  std::int64_t samples_, steps_;
  std::shared_ptr<std::int64_t> step_;
};

}  // namespace hypersd::stable_diffusion
