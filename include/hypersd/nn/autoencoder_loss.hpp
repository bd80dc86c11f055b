// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/ops/random.hpp>

namespace hypersd::nn {

/// mean + exp(logvar / 2) noise: arguments (mean, logvar, noise).
struct Reparameterise {
  template <class T>
  HYPERSD_HD T operator()(T mean, T logvar, T noise) const {
    return mean + math::exp(T(0.5) * logvar) * noise;
  }
  template <int I, class T>
  HYPERSD_HD T d(T, T logvar, T noise) const {
    const T deviation = math::exp(T(0.5) * logvar);
    return I == 0 ? T(1) : I == 1 ? T(0.5) * deviation * noise : deviation;
  }
};

/// KL(N(mean, e^logvar) || N(0, 1)) of one element: arguments (mean, logvar).
struct GaussianKl {
  template <class T>
  HYPERSD_HD T operator()(T mean, T logvar) const {
    return T(0.5) * (mean * mean + math::exp(logvar) - T(1) - logvar);
  }
  template <int I, class T>
  HYPERSD_HD T d(T mean, T logvar) const {
    return I == 0 ? mean : T(0.5) * (math::exp(logvar) - T(1));
  }
};

/// Weights of the autoencoder's loss.
struct AutoencoderLoss {
  double edge = 0.5;  ///< of the L1 distance between neighbour differences, which keeps outlines sharp
  double kl = 1e-4;   ///< of the divergence from a unit Gaussian, mean over latent elements
};

/// L1 distance of the differences between horizontal and vertical neighbours of two images [B, H, W, C].
template <class T, class D>
Var<T, D> edge_distance(const Var<T, D>& x, const Var<T, D>& y) {
  require_same_shape("edge_distance", x.shape(), y.shape());
  const std::int64_t b = x.dim(0), h = x.dim(1), row = x.dim(2) * x.dim(3), c = x.dim(3);
  auto differences = [&](const Var<T, D>& image, const Shape& shape, std::int64_t shift) {
    const auto flat = autograd::reshape(image, shape);
    const std::int64_t n = shape[-1];
    return autograd::sub(autograd::slice_channels(flat, shift, n), autograd::slice_channels(flat, 0, n - shift));
  };
  const Shape rows{b, h, row}, whole{b, h * row};
  return autograd::add(autograd::l1(differences(x, rows, c), differences(y, rows, c)),
                       autograd::l1(differences(x, whole, row), differences(y, whole, row)));
}

/// Loss of a variational autoencoder on `images` [B, H, W, C]; `net` offers encode(x) -> {mean, logvar} and decode(z).
/// Sample b is drawn as number `first_sample + b` of the stream.
template <class Net, class T, class D>
Var<T, D> autoencoder_loss(const Net& net, const Tensor<T, D>& images, Stream noise,
                           const AutoencoderLoss& weights = {}, std::int64_t first_sample = 0) {
  const Var<T, D> x(images);
  const auto posterior = net.encode(x);
  const Shape& shape = posterior.mean.shape();
  const auto z = autograd::map(Reparameterise{}, posterior.mean, posterior.logvar,
                               ops::normal<T, D>(shape, noise, first_sample * shape.numel_from(1)));
  const auto y = net.decode(z);
  auto loss = autograd::l1(y, x);
  loss = autograd::linear_combination(1, loss, static_cast<Accumulator<T>>(weights.edge), edge_distance(y, x));
  const auto kl = autograd::map_mean(GaussianKl{}, posterior.mean, posterior.logvar);
  return autograd::linear_combination(1, loss, static_cast<Accumulator<T>>(weights.kl), kl);
}

}  // namespace hypersd::nn
