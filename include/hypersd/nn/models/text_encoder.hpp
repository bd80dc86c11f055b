// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_gather.hpp>
#include <hypersd/nn/module.hpp>

namespace hypersd::nn {

/// Caption tokens to cross-attention context: token plus position embedding.
template <class T, class D = Cpu>
struct TextEncoder {
  using value_type = T;
  using device_type = D;
  std::int64_t vocabulary = 0, length = 0, width = 0;
  Var<T, D> token_embedding, position_embedding;

  TextEncoder() = default;
  TextEncoder(std::int64_t vocabulary_size, std::int64_t caption_length, std::int64_t embedding_width)
      : vocabulary(vocabulary_size), length(caption_length), width(embedding_width) {}
  /// Token ids [B, length] -> [B, length, width].
  Var<T, D> operator()(const Tensor<std::int32_t, D>& ids) const {
    require<ShapeError>(ids.rank() == 2 && ids.dim(1) == length, "TextEncoder: ids ", ids.shape(), ", expected [B, ",
                        length, "]");
    const std::int64_t batch = ids.dim(0);
    const auto tokens = autograd::reshape(autograd::embedding(token_embedding, ids), Shape{batch, length * width});
    const auto sum = autograd::add(tokens, ops::per_channel(autograd::reshape(position_embedding, Shape{length * width})));
    return autograd::reshape(sum, Shape{batch, length, width});
  }
  template <class F>
  void visit(F&& f, const std::string& prefix) {
    f(ParameterSpec{join(prefix, "token_embedding.weight"), Shape{vocabulary, width}, Init::normal}, token_embedding);
    f(ParameterSpec{join(prefix, "position_embedding.weight"), Shape{length, width}, Init::normal, Layout::plain, 0.1},
      position_embedding);
  }
};

}  // namespace hypersd::nn
