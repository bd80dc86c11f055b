// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <hypersd/data/canny.hpp>
#include <hypersd/data/resize.hpp>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/ops/copy.hpp>
#include <string>
#include <txt2img/options.hpp>
#include <utility>
#include <vector>

/// \file
/// What txt2img reads besides checkpoints: pictures and arrays.

namespace txt2img {

using hypersd::FormatError;
using hypersd::OptionError;
using hypersd::require;
using hypersd::Shape;
using hypersd::Tensor;

/// A LoRA and its weight: `FILE`, or `FILE:WEIGHT`.
struct LoraOption {
  std::string path;
  double weight = 1;
};

/// Splits `FILE:WEIGHT` at the last colon, unless the whole text is a path that exists. Throws OptionError.
inline LoraOption lora_option(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(text)) return {text, 1};
  LoraOption out{text.substr(0, colon), 1};
  out.weight = detail::number<double>(text.substr(colon + 1), "--lora " + text, "a weight");
  require<OptionError>(std::isfinite(out.weight), "--lora ", text, ": the weight is not finite");
  return out;
}

/// An RGB picture of `width` x `height`; other sizes are resized (Lanczos).
inline hypersd::io::Image read_picture(const std::string& path, std::int64_t width, std::int64_t height) {
  hypersd::io::Image image = hypersd::io::read_png(path);
  if (image.channels == 1) {
    hypersd::io::Image colour(image.width, image.height, 3);
    hypersd::io::paste(colour, image, 0, 0);
    image = std::move(colour);
  }
  return hypersd::data::resize_lanczos(image, static_cast<int>(width), static_cast<int>(height));
}

/// A control image [1, H, W, 3] in [0, 1]; with `canny` its edges instead, drawn before it is resized.
inline Tensor<float> control_picture(const std::string& path, std::int64_t width, std::int64_t height, bool canny) {
  hypersd::io::Image image = hypersd::io::read_png(path);
  if (canny) {
    const auto picture = hypersd::io::to_tensor(image);
    const auto edges = hypersd::data::canny(picture.reshape({1, picture.dim(0), picture.dim(1), picture.dim(2)}));
    image = hypersd::io::Image(image.width, image.height, 3);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = edges[static_cast<std::int64_t>(i / 3)] != 0 ? 255 : 0;
  } else if (image.channels == 1) {
    hypersd::io::Image colour(image.width, image.height, 3);
    hypersd::io::paste(colour, image, 0, 0);
    image = std::move(colour);
  }
  image = hypersd::data::resize_lanczos(image, static_cast<int>(width), static_cast<int>(height));
  Tensor<float> out(Shape{1, image.height, image.width, 3});
  for (std::int64_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(image.pixels[static_cast<std::size_t>(i)]) / 255.0F;
  return out;
}

/// --latents: noise [N, h, w, C] from a file of [N, C, h, w].
inline Tensor<float> read_latents(const std::string& path, const Shape& want) {
  const auto values = hypersd::io::read_npy_as<float>(path);
  const Shape stored{want[0], want[3], want[1], want[2]};
  require<FormatError>(values.shape() == stored, "--latents ", hypersd::io::in_quotes(path), ": shape ", values.shape(),
                       ", but N,C,H/8,W/8 of this picture are ", stored, " (--width, --height and prompts decide)");
  return hypersd::ops::nchw_to_nhwc(values);
}
/// --noise: one tensor [N, h, w, C] for each draw, from a file of [draws, N, C, h, w].
inline std::vector<Tensor<float>> read_noise(const std::string& path, const Shape& want) {
  const auto values = hypersd::io::read_npy_as<float>(path);
  const Shape stored{want[0], want[3], want[1], want[2]};
  require<FormatError>(values.rank() == 5 && values.shape().numel_from(1) == stored.numel() &&
                           values.dim(1) == stored[0] && values.dim(2) == stored[1] && values.dim(3) == stored[2],
                       "--noise ", hypersd::io::in_quotes(path), ": shape ", values.shape(),
                       ", but draws,N,C,H/8,W/8 with ", stored, " behind the draws are needed");
  std::vector<Tensor<float>> out;
  for (std::int64_t i = 0; i < values.dim(0); ++i)
    out.push_back(hypersd::ops::nchw_to_nhwc(values.slice(i, i + 1).reshape(stored)));
  return out;
}

}  // namespace txt2img
