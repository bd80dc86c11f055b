// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/nn/models/classifier.hpp>

namespace hypersd::nn {

/// Sizes of an instance-segmentation network with one level; the default suits 32 x 32 x 1 images: a grid of 8 x 8
/// cells and masks of 16 x 16.
struct SegmenterConfig {
  std::int64_t in_channels = 1;  ///< channels of images
  std::int64_t classes = 10;     ///< number of classes
  /// Width of each level. Each halves the size, so that the grid has H / 2^levels cells per side.
  std::vector<std::int64_t> channels{24, 48};
  std::int64_t head = 48;            ///< width of both branches
  std::int64_t depth = 2;            ///< convolutions in each branch
  std::int64_t norm_num_groups = 8;  ///< a divisor of all widths
};

/// The output of a segmenter.
template <class T, class D>
struct SegmenterOutput {
  Var<T, D> category;  ///< logits [B, S, S, classes] of the object whose centre lies in a cell
  Var<T, D> mask;  ///< logits [B, h, w, S S]: the mask of the object of cell (row, column) is channel row S + column
};

/// SOLO (Wang et al., "SOLO: Segmenting Objects by Locations", arXiv 1912.04488) with one level: a category branch on a
/// grid of cells, and a mask branch with two coordinate channels as additional input. [Hyper-SD Eq. 14]
template <Scalar T, Device D = Cpu>
struct Segmenter {
  using value_type = T;
  using device_type = D;

  SegmenterConfig config;
  std::vector<ConvNormSilu<T, D>> backbone, category_convs, mask_convs;
  Conv2d<T, D> category_out, mask_out;

  Segmenter() = default;
  /// For images of `size` x `size`. Throws OptionError unless 2^levels divides `size`.
  Segmenter(const SegmenterConfig& c, std::int64_t size = 32) : config(c) {
    const auto levels = static_cast<int>(c.channels.size());
    require<OptionError>(levels >= 1 && size % (std::int64_t{1} << levels) == 0, "Segmenter: ", levels,
                         " levels for images of ", size, " x ", size);
    std::int64_t in = c.in_channels;
    for (const std::int64_t out : c.channels) {
      backbone.emplace_back(in, out, 3, 2, c.norm_num_groups);
      backbone.emplace_back(out, out, 3, 1, c.norm_num_groups, true);
      in = out;
    }
    const std::int64_t cells = size >> levels;
    for (std::int64_t i = 0; i < c.depth; ++i) {
      category_convs.emplace_back(i == 0 ? in : c.head, c.head, 3, 1, c.norm_num_groups);
      mask_convs.emplace_back(i == 0 ? in + 2 : c.head, c.head, 3, 1, c.norm_num_groups);
    }
    // Positives are rare: logits start at -ln((1 - p) / p) for p = 0.01, so that the focal loss starts small.
    category_out = Conv2d<T, D>(c.head, c.classes, 3);
    category_out.bias = {Shape{c.classes}, {Initializer::Kind::constant, -std::log(0.99 / 0.01)}};
    mask_out = Conv2d<T, D>(c.head, cells * cells, 1);
  }

  /// Images [B, size, size, in_channels]. Throws ShapeError.
  SegmenterOutput<T, D> operator()(const Var<T, D>& x) const {
    auto h = x;
    for (const auto& block : backbone) h = block(h);
    const std::int64_t cells = h.dim(1);
    require<ShapeError>(h.rank() == 4 && h.dim(2) == cells && mask_out.weight.dim(0) == cells * cells,
                        "Segmenter: images ", x.shape(), " for ", mask_out.weight.dim(0), " cells");
    auto category = h, mask = autograd::concat_channels(h, Var<T, D>(coordinates(h.shape())));
    for (const auto& conv : category_convs) category = conv(category);
    for (std::size_t i = 0; i < mask_convs.size(); ++i) {
      if (i + 1 == mask_convs.size()) mask = autograd::upsample_nearest(mask, 2 * cells, 2 * cells);
      mask = mask_convs[i](mask);
    }
    return {category_out(category), mask_out(mask)};
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "backbone", backbone, "category_convs", category_convs, "category_out", category_out,
                  "mask_convs", mask_convs, "mask_out", mask_out);
  }

 private:
  /// x and y of each position, from -1 to 1: [B, S, S, 2].
  static Tensor<T, D> coordinates(const Shape& s) {
    std::vector<T> out;
    const auto place = [](std::int64_t i, std::int64_t n) {
      return converted<T>(n > 1 ? 2.0 * static_cast<double>(i) / static_cast<double>(n - 1) - 1 : 0.0);
    };
    for (std::int64_t b = 0; b < s[0]; ++b)
      for (std::int64_t i = 0; i < s[1]; ++i)
        for (std::int64_t j = 0; j < s[2]; ++j) out.push_back(place(j, s[2])), out.push_back(place(i, s[1]));
    return Tensor<T, D>::from(Shape{s[0], s[1], s[2], 2}, out);
  }
};

}  // namespace hypersd::nn
