// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/autograd/checkpoint.hpp>

namespace hypersd::feedback {

/// Pictures of the student's samples: `decoder(latents)` maps a variable [B, h, w, c] to a variable [B, H, W, C],
/// differentiably. Its parameters should be frozen (see `frozen`).
template <class Decode, class T, class D>
concept Decoder = requires(const Decode& decode, const Var<T, D>& latents) {
  { decode(latents) } -> std::convertible_to<Var<T, D>>;
};

/// For students that make pictures themselves.
struct NoDecoder {
  template <class T, class D>
  Var<T, D> operator()(const Var<T, D>& x) const {
    return x;
  }
};

/// A decoder whose intermediate results are computed again in the backward pass instead of kept: a full-size
/// autoencoder's take more memory than the student's.
template <class Decode>
struct Checkpointed {
  Decode decode;
  template <class T, class D>
  requires Decoder<Decode, T, D> Var<T, D>
  operator()(const Var<T, D>& latents) const { return autograd::checkpoint(decode, latents); }
};
template <class Decode>
Checkpointed(Decode) -> Checkpointed<Decode>;

}  // namespace hypersd::feedback
