// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/ops/copy.hpp>

/// \file
/// Encoding and decoding of large images in strips of rows, one sample at a time. Convolutions see the rows around a
/// strip, and norms have the statistics of the whole image, so that the result is that of `Autoencoder` up to rounding:
/// there are no seams. (Tiles that are decoded on their own, each with its own statistics, need blending and still
/// differ.) What is saved is memory: of a layer's input, output and temporaries only two are ever whole.

namespace hypersd::nn {

/// silu(a x + b), a group norm with given statistics and its activation.
struct AffineSilu {
  template <class T>
  HYPERSD_HD T operator()(T x, T a, T b) const {
    const T y = a * x + b;
    return y * math::sigmoid(y);
  }
};

/// Evaluates parts of an autoencoder in strips that hold at most about `elements` numbers (and at least one row).
template <Scalar T, Device D>
class StripEvaluator {
 public:
  /// Throws OptionError for a negative or zero limit.
  explicit StripEvaluator(std::int64_t elements) : elements_(elements) {
    require<OptionError>(elements >= 1, "strips of ", elements, " elements; at least 1 is needed");
  }

  /// blocks of a decoder or encoder, its first and last convolution: x [1, H, W, C].
  template <class Half>
  Tensor<T, D> half(const Half& net, const Tensor<T, D>& x) const {
    auto h = convolve(net.conv_in, x, nullptr, 1);
    if (Half::decoder && net.mid_block) h = (*net.mid_block)(Var<T, D>(h)).value();
    for (const auto& block : net.blocks) {
      for (const auto& resnet : block.resnets) h = residual(resnet, h);
      if (block.resample) h = convolve(block.resample->conv, h, nullptr, Half::decoder ? 2 : 1);
    }
    if (!Half::decoder && net.mid_block) h = (*net.mid_block)(Var<T, D>(h)).value();
    const Affine norm = statistics(net.conv_norm_out, h);
    return convolve(net.conv_out, h, &norm, 1);
  }

 private:
  /// A norm as a x + b per channel.
  struct Affine {
    Tensor<T, D> a, b;
  };

  static Tensor<T, D> rows(const Tensor<T, D>& x, std::int64_t begin, std::int64_t end) {
    const auto image = x.reshape({x.dim(1), x.dim(2), x.dim(3)}).slice(begin, end);
    return image.reshape({1, end - begin, x.dim(2), x.dim(3)});
  }
  [[nodiscard]] std::int64_t rows_of(std::int64_t width, std::int64_t channels) const {
    return std::max<std::int64_t>(1, elements_ / (width * channels));
  }

  /// Mean and variance of each group from those of strips (Chan et al. 1979), in double.
  Affine statistics(const GroupNorm<T, D>& norm, const Tensor<T, D>& x) const {
    const std::int64_t height = x.dim(1), channels = x.dim(3), step = rows_of(x.dim(2), channels);
    const auto groups = static_cast<std::size_t>(norm.groups);
    std::vector<double> mean(groups, 0), squares(groups, 0);
    double count = 0;
    for (std::int64_t begin = 0; begin < height; begin += step) {
      const auto strip = rows(x, begin, std::min(height, begin + step));
      const auto part = ops::group_norm(strip, Tensor<T, D>{}, Tensor<T, D>{}, norm.groups, 1e-30);
      const auto means = part.mean.to_vector(), rstd = part.rstd.to_vector();
      const double n = static_cast<double>(strip.size()) / static_cast<double>(norm.groups);
      for (std::size_t g = 0; g < groups; ++g) {
        const double m = static_cast<double>(means[g]), r = static_cast<double>(rstd[g]), d = m - mean[g];
        mean[g] += d * n / (count + n);
        squares[g] += n / (r * r) + d * d * count * n / (count + n);
      }
      count += n;
    }
    const auto gamma = norm.weight.value().template to<Cpu>(), beta = norm.bias.value().template to<Cpu>();
    Tensor<T, Cpu> a(gamma.shape()), b(gamma.shape());
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto g = static_cast<std::size_t>(c / (channels / norm.groups));
      const double factor = static_cast<double>(gamma[c]) / std::sqrt(squares[g] / count + norm.eps);
      a[c] = static_cast<T>(factor);
      b[c] = static_cast<T>(static_cast<double>(beta[c]) - mean[g] * factor);
    }
    return {a.template to<D>(), b.template to<D>()};
  }

  /// Calls out(begin, end, y) with the rows [begin, end) of conv(silu(norm x)), or of conv(x) without `norm`; x is
  /// enlarged by `factor` first.
  template <class Out>
  void convolve_strips(const Conv2d<T, D>& conv, const Tensor<T, D>& x, const Affine* norm, std::int64_t factor,
                       Out&& out) const {
    const std::int64_t kernel = conv.weight.shape()[1], stride = conv.options.stride, pad = conv.options.pad;
    const std::int64_t pad_end = conv.options.pad_end < 0 ? pad : conv.options.pad_end;
    const std::int64_t in = x.dim(1) * factor, height = (in + pad + pad_end - kernel) / stride + 1;
    const std::int64_t channels = std::max(x.dim(3), conv.weight.shape()[0]);
    const std::int64_t step = rows_of(x.dim(2) * factor / stride + 1, channels * stride * stride);
    for (std::int64_t begin = 0; begin < height; begin += step) {
      const std::int64_t end = std::min(height, begin + step);
      // The rows that are read, from a row of x on.
      const std::int64_t first = std::max<std::int64_t>(0, begin * stride - pad) / factor;
      const std::int64_t last = std::min(in, (end - 1) * stride - pad + kernel);
      Tensor<T, D> strip = rows(x, first, (last + factor - 1) / factor);
      if (norm) strip = ops::map(AffineSilu{}, strip, ops::per_channel(norm->a), ops::per_channel(norm->b));
      if (factor > 1) strip = ops::upsample_nearest(strip, strip.dim(1) * factor, strip.dim(2) * factor);
      const Tensor<T, D> y = conv(Var<T, D>(strip)).value();
      // y begins at row first * factor / stride; its rows next to a cut saw padding and are left out.
      const std::int64_t skipped = begin - first * factor / stride;
      out(begin, end, rows(y, skipped, skipped + end - begin));
    }
  }
  Tensor<T, D> convolve(const Conv2d<T, D>& conv, const Tensor<T, D>& x, const Affine* norm,
                        std::int64_t factor) const {
    Tensor<T, D> out;
    const auto write = [&](std::int64_t begin, std::int64_t end, const Tensor<T, D>& y) {
      if (!out.defined()) {
        const std::int64_t stride = conv.options.stride, pad = conv.options.pad;
        const std::int64_t both = pad + (conv.options.pad_end < 0 ? pad : conv.options.pad_end);
        const std::int64_t height = (x.dim(1) * factor + both - conv.weight.shape()[1]) / stride + 1;
        out = Tensor<T, D>(Shape{1, height, y.dim(2), y.dim(3)});
      }
      rows(out, begin, end).copy_from(y);
    };
    convolve_strips(conv, x, norm, factor, write);
    return out;
  }
  /// A residual block; x is overwritten where the number of channels stays.
  Tensor<T, D> residual(const ResnetBlock<T, D>& block, const Tensor<T, D>& x) const {
    const Affine norm1 = statistics(block.norm1, x);
    const Tensor<T, D> h = convolve(block.conv1, x, &norm1, 1);
    const Affine norm2 = statistics(block.norm2, h);
    const Tensor<T, D> out = block.conv_shortcut ? Tensor<T, D>(h.shape()) : x;
    convolve_strips(block.conv2, h, &norm2, 1, [&](std::int64_t begin, std::int64_t end, const Tensor<T, D>& y) {
      const auto own = rows(x, begin, end);
      const auto shortcut = block.conv_shortcut ? (*block.conv_shortcut)(Var<T, D>(own)).value() : own;
      ops::map_into(rows(out, begin, end), ops::Add{}, shortcut, y);
    });
    return out;
  }

  std::int64_t elements_;
};

/// About the numbers in a strip: 16 million, 64 MiB of float32.
inline constexpr std::int64_t strip_elements = std::int64_t{1} << 24;

/// `Autoencoder::decode` in strips, sample by sample: unscaled latents [B, h, w, latent] -> images. No gradients.
/// Throws ShapeError.
template <Scalar T, Device D>
Tensor<T, D> decode_in_strips(const Autoencoder<T, D>& net, const Tensor<T, D>& z,
                              std::int64_t elements = strip_elements) {
  require<ShapeError>(z.rank() == 4 && z.size() > 0, "decode_in_strips: latents ", z.shape());
  const autograd::NoGrad guard;
  const StripEvaluator<T, D> strips(elements);
  std::vector<Tensor<T, D>> out;
  for (std::int64_t b = 0; b < z.dim(0); ++b)
    out.push_back(strips.half(net.decoder, net.post_quant_conv(Var<T, D>(z.slice(b, b + 1))).value()));
  return out.size() == 1 ? out[0] : ops::concat_first(out);
}
/// `Autoencoder::encode` in strips, sample by sample. No gradients. Throws ShapeError.
template <Scalar T, Device D>
Posterior<T, D> encode_in_strips(const Autoencoder<T, D>& net, const Tensor<T, D>& x,
                                 std::int64_t elements = strip_elements) {
  require<ShapeError>(x.rank() == 4 && x.size() > 0, "encode_in_strips: images ", x.shape());
  const autograd::NoGrad guard;
  const StripEvaluator<T, D> strips(elements);
  std::vector<Tensor<T, D>> out;
  for (std::int64_t b = 0; b < x.dim(0); ++b) out.push_back(strips.half(net.encoder, x.slice(b, b + 1)));
  return net.posterior(Var<T, D>(out.size() == 1 ? out[0] : ops::concat_first(out)));
}

}  // namespace hypersd::nn
