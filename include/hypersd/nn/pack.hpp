// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/lora.hpp>

namespace hypersd::nn {

/// Packs the weights of all linear and convolution layers for inference on the CPU: they become constants in the order
/// in which matmuls read them, in place of what the layers held, of the same element type and size, and calls need not
/// pack them any more. A teacher and a student that share a network's weights share the packed ones if they are copied
/// after this; variables that others still hold stay as they are. Training, loading, or merging an adapter makes a
/// weight a variable again (`Parameter`), packed weights are never out of date. Layers with an active adapter are left
/// out: merge it first. Results have the same bits as before.
template <Module M>
void pack_weights(M& net) {
  using Layer = AdaptedLayer<typename M::value_type, typename M::device_type>;
  for_each_layer(net, [&](const std::string&, Layer& layer) {
    if constexpr (decltype(layer.weight)::can_keep)
      if (!layer.adapted()) layer.weight.pack();
  });
  Memory<Cpu>::release_pool();  // of the weights before
}

}  // namespace hypersd::nn
