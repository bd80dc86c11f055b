// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/stable_diffusion/images.hpp>
#include <hypersd/stable_diffusion/model.hpp>
#include <txt2img/options.hpp>

namespace txt2img {

namespace sd = hypersd::stable_diffusion;

/// Encodes the prompts, plans the run and draws; also writes what --dump-tokens and --dump-embeds ask for. In a source
/// file of its own, which is compiled beside the rest.
template <class D>
sd::Images<float, D> draw(const Options& o, const sd::Model<float, D>& model, const sd::ImageOptions<float, D>& image);

}  // namespace txt2img
