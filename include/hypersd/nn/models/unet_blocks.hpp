// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/checkpoint.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/nn/resample.hpp>
#include <hypersd/nn/resnet.hpp>
#include <hypersd/nn/transformer.hpp>

namespace hypersd::nn {

namespace detail {

/// layer(h, context), with gradient checkpointing if `checkpoint`. The copy of the layer shares its parameters.
template <class Layer, class T, class D>
Var<T, D> run_layer(bool checkpoint, const Layer& layer, const Var<T, D>& h, const Var<T, D>& context) {
  return checkpoint ? autograd::checkpoint(layer, h, context) : layer(h, context);
}

}  // namespace detail

/// One level of the down path of a UNet: resnets, each followed by a transformer if the level has attention, then a
/// downsampling. The output of each is a skip connection.
template <Scalar T, Device D = Cpu>
struct UnetDownBlock {
  using value_type = T;
  using device_type = D;

  std::vector<ResnetBlock<T, D>> resnets;
  std::vector<Transformer2d<T, D>> attentions;
  std::optional<Downsample2d<T, D>> downsampler;

  UnetDownBlock() = default;
  /// `attention.depth` 0: no transformers.
  UnetDownBlock(ResnetOptions resnet, const Transformer2dOptions& attention, std::int64_t layers, bool downsample) {
    for (std::int64_t i = 0; i < layers; ++i) {
      resnets.emplace_back(resnet);
      resnet.in = resnet.out;
      if (attention.depth > 0) attentions.emplace_back(attention);
    }
    if (downsample) downsampler.emplace(resnet.out);
  }
  /// Appends each output to `skips`. `e` is silu(time embedding). Returns the last output before the downsampling.
  Var<T, D> operator()(Var<T, D> h, const Var<T, D>& e, const Var<T, D>& tokens, std::vector<Var<T, D>>& skips,
                       bool checkpoint) const {
    for (std::size_t i = 0; i < resnets.size(); ++i) {
      h = detail::run_layer(checkpoint, resnets[i], h, e);
      if (!attentions.empty()) h = detail::run_layer(checkpoint, attentions[i], h, tokens);
      skips.push_back(h);
    }
    if (downsampler) skips.push_back((*downsampler)(h));
    return h;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "resnets", resnets, "attentions", attentions, "downsamplers.0", downsampler);
  }
};

/// The coarsest level: resnet, transformer, resnet.
template <Scalar T, Device D = Cpu>
struct UnetMidBlock {
  using value_type = T;
  using device_type = D;

  std::vector<ResnetBlock<T, D>> resnets;
  std::vector<Transformer2d<T, D>> attentions;

  UnetMidBlock() = default;
  UnetMidBlock(const ResnetOptions& resnet, const Transformer2dOptions& attention)
      : resnets(2, ResnetBlock<T, D>(resnet)) {
    if (attention.depth > 0) attentions.emplace_back(attention);
  }
  Var<T, D> operator()(Var<T, D> h, const Var<T, D>& e, const Var<T, D>& tokens, bool checkpoint) const {
    h = detail::run_layer(checkpoint, resnets[0], h, e);
    for (const auto& attention : attentions) h = detail::run_layer(checkpoint, attention, h, tokens);
    return detail::run_layer(checkpoint, resnets[1], h, e);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "resnets", resnets, "attentions", attentions);
  }
};

/// One level of the up path of a UNet: resnets with one skip connection each, transformers, then an upsampling.
template <Scalar T, Device D = Cpu>
struct UnetUpBlock {
  using value_type = T;
  using device_type = D;

  std::vector<ResnetBlock<T, D>> resnets;
  std::vector<Transformer2d<T, D>> attentions;
  std::optional<Upsample2d<T, D>> upsampler;

  UnetUpBlock() = default;
  /// `previous`: channels of the coarser level; `skip_channels`: channels of the skip connection of each layer.
  UnetUpBlock(ResnetOptions resnet, std::int64_t previous, const std::vector<std::int64_t>& skip_channels,
              const Transformer2dOptions& attention, bool upsample) {
    for (const std::int64_t skip : skip_channels) {
      resnet.in = previous + skip;
      previous = resnet.out;
      resnets.emplace_back(resnet);
      if (attention.depth > 0) attentions.emplace_back(attention);
    }
    if (upsample) upsampler.emplace(resnet.out);
  }
  /// Pops its skip connections from the end of `skips`; upsamples to the size of the next one.
  Var<T, D> operator()(Var<T, D> h, const Var<T, D>& e, const Var<T, D>& tokens, std::vector<Var<T, D>>& skips,
                       bool checkpoint) const {
    for (std::size_t i = 0; i < resnets.size(); ++i) {
      h = detail::run_layer(checkpoint, resnets[i], autograd::concat_channels(h, skips.back()), e);
      skips.pop_back();
      if (!attentions.empty()) h = detail::run_layer(checkpoint, attentions[i], h, tokens);
    }
    // The next skip connection has the size: twice the present one, except where a downsampling rounded up.
    if (upsampler) h = (*upsampler)(h, skips.back().dim(1), skips.back().dim(2));
    return h;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "resnets", resnets, "attentions", attentions, "upsamplers.0", upsampler);
  }
};

}  // namespace hypersd::nn
