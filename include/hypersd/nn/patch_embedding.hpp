// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/conv.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace hypersd::nn {

/// Sine and cosine positions of a grid of patches, [rows columns, channels] in row-major order: with
/// w_i = 10000^(-4 i / channels), i < channels / 4, the features of the patch at row r and column c are
/// [sin(w c'), cos(w c'), sin(w r'), cos(w r')], r' = r row_step, c' = c column_step. `channels` is divisible by 4.
inline std::vector<double> sincos_positions(std::int64_t rows, std::int64_t columns, std::int64_t channels,
                                            double row_step, double column_step) {
  const std::int64_t quarter = channels / 4;
  std::vector<double> frequency, out;
  for (std::int64_t i = 0; i < quarter; ++i)
    frequency.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(quarter)));
  const auto add = [&](double at) {
    for (const double w : frequency) out.push_back(std::sin(w * at));
    for (const double w : frequency) out.push_back(std::cos(w * at));
  };
  out.reserve(static_cast<std::size_t>(rows * columns * channels));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      add(static_cast<double>(c) * column_step);
      add(static_cast<double>(r) * row_step);
    }
  }
  return out;
}

/// Sizes of a patch embedding.
struct PatchOptions {
  std::int64_t in_channels = 4;    ///< channels of the image
  std::int64_t channels = 64;      ///< width of the tokens, divisible by 4
  std::int64_t sample_size = 8;    ///< height and width at which the network is trained, in elements of the image
  std::int64_t patch_size = 2;     ///< height and width of a patch
  double interpolation_scale = 1;  ///< positions are divided by it (PixArt at large sizes)
  std::int64_t max_size = 0;       ///< > 0: positions are the middle of a table of that many patches squared (SD3)

  /// Patches along an axis at the trained size.
  [[nodiscard]] std::int64_t base() const { return sample_size / patch_size; }
  /// Throws OptionError that names the first invalid setting of the network called `network`.
  void validate(const char* network) const {
    require<OptionError>(in_channels > 0, network, ": in_channels = ", in_channels, ", at least 1 needed");
    require<OptionError>(channels > 0 && channels % 4 == 0, network, ": a width of ", channels,
                         " channels (heads times head_dim) is not divisible by 4, as sine and cosine positions need");
    require<OptionError>(patch_size > 0 && sample_size >= patch_size, network, ": patch_size = ", patch_size,
                         ", 1 to sample_size = ", sample_size, " needed");
    require<OptionError>(interpolation_scale > 0, network, ": interpolation_scale = ", interpolation_scale,
                         ", a positive number needed");
    require<OptionError>(max_size == 0 || max_size >= base(), network, ": pos_embed_max_size = ", max_size,
                         " patches, below the ", base(), " of sample_size");
  }
};

/// Images [B, H, W, in] as tokens [B, H W / p^2, C] with their positions, and back. Parameter names of diffusers'
/// PatchEmbed: `proj`, and `pos_embed` where the positions are a table. Other sizes than the trained one stretch the
/// positions to the trained range, or take another part of the table.
template <Scalar T, Device D = Cpu>
struct PatchEmbedding {
  using value_type = T;
  using device_type = D;

  PatchOptions options;
  Conv2d<T, D> proj;
  Parameter<T, D> pos_embed;

  PatchEmbedding() = default;
  /// `options` must be valid.
  explicit PatchEmbedding(const PatchOptions& o)
      : options(o), proj(o.in_channels, o.channels, o.patch_size, o.patch_size, 0) {
    if (o.max_size > 0)
      pos_embed = {Shape{1, o.max_size * o.max_size, o.channels},
                   Initializer::values(&table, static_cast<double>(o.base()) / static_cast<double>(o.max_size) /
                                                   o.interpolation_scale)};
  }
  /// Tokens of x [B, H, W, in]. Throws ShapeError unless the patch size divides H and W, or for more patches than the
  /// table of positions has.
  Var<T, D> operator()(const Var<T, D>& x) const {
    const std::int64_t p = options.patch_size;
    require<ShapeError>(x.rank() == 4 && x.dim(3) == options.in_channels && x.dim(1) % p == 0 && x.dim(2) % p == 0 &&
                            x.dim(1) > 0 && x.dim(2) > 0,
                        "patch embedding: sample ", x.shape(), ", [B, H, W, ", options.in_channels,
                        "] with H and W divisible by ", p, " needed");
    const std::int64_t batch = x.dim(0), rows = x.dim(1) / p, columns = x.dim(2) / p, width = options.channels;
    // With one row per sample, the positions are a vector that all samples share.
    const auto tokens = autograd::reshape(proj(x), Shape{batch, rows * columns * width});
    const auto placed = autograd::add(tokens, ops::per_channel(positions(rows, columns)));
    return autograd::reshape(placed, Shape{batch, rows * columns, width});
  }
  /// Images [B, H, W, C] of tokens [B, H W / p^2, p^2 C], whose elements are ordered (row, column, channel).
  [[nodiscard]] Var<T, D> image(const Var<T, D>& tokens, std::int64_t height, std::int64_t width) const {
    const std::int64_t p = options.patch_size, batch = tokens.dim(0), channels = tokens.dim(2) / (p * p);
    const auto split = autograd::reshape(tokens, Shape{batch * (height / p), width / p, p, p * channels});
    return autograd::reshape(autograd::permute(split, {0, 2, 1, 3}), Shape{batch, height, width, channels});
  }
  /// Tokens [B, N, C] of an image [B, H, W, ...] as a feature map [B, H / p, W / p, C].
  [[nodiscard]] Var<T, D> map(const Var<T, D>& tokens, const Var<T, D>& x) const {
    const std::int64_t p = options.patch_size;
    return autograd::reshape(tokens, Shape{tokens.dim(0), x.dim(1) / p, x.dim(2) / p, tokens.dim(2)});
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "pos_embed", pos_embed, "proj", proj);
  }

 private:
  /// Positions by grid. Copies of a network share them.
  struct Cache {
    std::mutex mutex;
    std::map<std::pair<std::int64_t, std::int64_t>, Tensor<T, D>> of;
  };
  std::shared_ptr<Cache> cache_ = std::make_shared<Cache>();

  static std::vector<double> table(const Shape& shape, double step) {
    const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(shape[1]))));
    return sincos_positions(side, side, shape[2], step, step);
  }
  /// [rows columns C].
  Tensor<T, D> positions(std::int64_t rows, std::int64_t columns) const {
    const std::int64_t width = options.channels, most = options.max_size;
    if (most > 0) {
      require<ShapeError>(rows <= most && columns <= most, "patch embedding: ", rows, " x ", columns,
                          " patches, but the table of positions has ", most, " x ", most);
      const std::int64_t top = (most - rows) / 2, left = (most - columns) / 2;
      const auto lines = pos_embed.get().value().reshape(Shape{most, most * width}).slice(top, top + rows);
      return ops::slice_last(lines, left * width, (left + columns) * width).reshape(Shape{rows * columns * width});
    }
    const std::lock_guard lock(cache_->mutex);
    if (cache_->of.size() >= 64) cache_->of.clear();
    auto& found = cache_->of[{rows, columns}];
    if (!found.defined()) {
      const auto step = [&](std::int64_t patches) {
        return static_cast<double>(options.base()) / static_cast<double>(patches) / options.interpolation_scale;
      };
      std::vector<T> values;
      for (const double v : sincos_positions(rows, columns, width, step(rows), step(columns)))
        values.push_back(converted<T>(v));
      found = Tensor<T, D>::from(Shape{rows * columns * width}, values);
    }
    return found;
  }
};

}  // namespace hypersd::nn
