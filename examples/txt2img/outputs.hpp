// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/map.hpp>
#include <string>
#include <txt2img/options.hpp>
#include <vector>

/// \file
/// What txt2img writes.

namespace txt2img {

/// Makes the folder of the results. Throws IoError.
inline void make_out(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  hypersd::require<hypersd::IoError>(!error, "--out ", hypersd::io::in_quotes(path), ": ", error.message());
}

/// Writes channels-last values [N, h, w, C] as [N, C, h, w].
inline void write_nchw(const std::string& path, const hypersd::Tensor<float>& x) {
  hypersd::io::write_npy(path, hypersd::ops::nhwc_to_nchw(x));
}

/// Writes equal-shaped steps [N, h, w, C] as [steps, N, C, h, w].
inline void write_steps(const std::string& path, const std::vector<hypersd::Tensor<float>>& steps) {
  using namespace hypersd;
  std::vector<Tensor<float>> rows;
  for (const auto& x : steps) {
    const auto y = ops::nhwc_to_nchw(x);
    rows.push_back(y.reshape({1, y.dim(0), y.dim(1), y.dim(2), y.dim(3)}));
  }
  io::write_npy(path, ops::concat_first(rows));
}

/// One picture [H, W, 3] of values in [0, 1] as 8 bits: 255 x, halves to the even one.
inline hypersd::io::Image to_picture(const float* values, std::int64_t height, std::int64_t width) {
  hypersd::io::Image out(static_cast<int>(width), static_cast<int>(height), 3);
  for (std::size_t i = 0; i < out.pixels.size(); ++i)
    out.pixels[i] = static_cast<std::uint8_t>(std::nearbyint(255.0F * values[i]));
  return out;
}

/// Writes image.npy (NCHW, [0, 1]) and image.png, or image0.png, ... for several, with `texts[i]` in picture i.
inline void write_images(const std::string& folder, const hypersd::Tensor<float>& images,
                         const std::vector<std::vector<hypersd::io::PngText>>& texts) {
  using namespace hypersd;
  write_nchw(folder + "/image.npy", images);
  const std::int64_t count = images.dim(0), height = images.dim(1), width = images.dim(2);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto image = to_picture(images.data() + i * height * width * 3, height, width);
    const std::string name = count == 1 ? "image.png" : "image" + std::to_string(i) + ".png";
    io::atomic_write(folder + "/" + name,
                     io::with_png_texts(io::encode_png(image), texts[static_cast<std::size_t>(i)]));
  }
}

}  // namespace txt2img
