// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/patch_embedding.hpp>

/// \file
/// What the configurations of diffusion transformers have in common.

namespace hypersd::nn {

namespace detail {

/// The blocks after which a transformer of `layers` blocks has its features taken: `chosen`, or the last block of each
/// third of the network.
inline std::vector<std::int64_t> transformer_taps(const std::vector<std::int64_t>& chosen, std::int64_t layers) {
  if (!chosen.empty()) return chosen;
  std::vector<std::int64_t> out;
  for (std::int64_t third = 1; third <= 3; ++third) {
    const std::int64_t last = third * layers / 3 - 1;
    if (last >= 0 && (out.empty() || out.back() < last)) out.push_back(last);
  }
  return out;
}

/// Throws OptionError, naming the setting, unless `blocks` are increasing numbers in [0, layers).
inline void validate_blocks(const std::vector<std::int64_t>& blocks, std::int64_t layers, const char* name,
                            const char* setting) {
  for (std::size_t i = 0; i < blocks.size(); ++i)
    require<OptionError>(blocks[i] >= 0 && blocks[i] < layers && (i == 0 || blocks[i - 1] < blocks[i]), name, ": ",
                         setting, " must be increasing numbers in [0, ", layers, ")");
}

/// Throws OptionError that names the first setting that no diffusion transformer can have.
template <class Config>
void validate_transformer(const Config& c, const char* name) {
  require<OptionError>(c.heads > 0 && c.head_dim > 0, name, ": heads = ", c.heads, ", head_dim = ", c.head_dim,
                       ", positive numbers needed");
  require<OptionError>(c.layers > 0, name, ": layers = ", c.layers, ", at least 1 needed");
  c.patches().validate(name);
  require<OptionError>(c.out_channels == c.in_channels || c.out_channels == 2 * c.in_channels, name,
                       ": out_channels = ", c.out_channels, ", ", c.in_channels,
                       " (in_channels) or twice as many needed");
  validate_blocks(c.feature_blocks, c.layers, name, "feature_blocks");
}

}  // namespace detail

}  // namespace hypersd::nn
