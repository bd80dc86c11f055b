// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/lora.hpp>

namespace hypersd::nn {

/// What `pack_weights` keeps beside packed weights.
enum class Keep {
  nothing,      ///< results have the same bits as before
  transformed,  ///< the weights of 3x3 convolutions that run by Winograd's method, transformed once
};

/// Packs the weights of all linear and convolution layers for inference on the CPU: they become constants in the order
/// in which matmuls read them, in place of what the layers held, of the same element type and size, and calls need not
/// pack them any more. A teacher and a student that share a network's weights share the packed ones if they are copied
/// after this; variables that others still hold stay as they are. Training, loading, or merging an adapter makes a
/// weight a variable again (`Parameter`), packed weights are never out of date. Layers with an active adapter are left
/// out: merge it first.
///
/// With `Keep::transformed`, images of 16 x 16 positions and more are convolved by Winograd's method, whose error is
/// below 1e-4 of the results' standard deviation, and each 3x3 layer that does so keeps four times the float size of
/// its weights, from its first call on: at 512 x 512 pixels that is 4.1 GiB for Stable Diffusion 1.5's UNet.
/// `parameter_bytes` counts it.
template <Module M>
void pack_weights(M& net, Keep keep = Keep::nothing) {
  using Layer = AdaptedLayer<typename M::value_type, typename M::device_type>;
  for_each_layer(net, [&](const std::string&, Layer& layer) {
    if constexpr (decltype(layer.weight)::can_keep)
      if (!layer.adapted()) layer.weight.pack(keep == Keep::transformed);
  });
  Memory<Cpu>::release_pool();  // of the weights before
}

}  // namespace hypersd::nn
