// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/philox.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::diffusion {

/// A training batch's conditions [B, ...] (token numbers, labels, embeddings) with each sample's replaced by `null`,
/// [1, ...] or [...], with probability `p`, so that one network learns both branches of guidance (Ho and Salimans,
/// arXiv 2207.12598, Algorithm 1). Sample b's choice is number `first + b` of stream `s`. Throws ShapeError, and
/// OptionError for p outside [0, 1].
template <Scalar T, Device D>
Tensor<T, D> drop_condition(const Tensor<T, D>& condition, const Tensor<T, D>& null, double p, Stream s,
                            std::int64_t first = 0) {
  require<OptionError>(p >= 0 && p <= 1, "condition dropout: probability ", p, " is not in [0, 1]");
  require<ShapeError>(condition.rank() > 0 && null.size() == condition.shape().numel_from(1),
                      "condition dropout: null condition ", null.shape(), " for conditions ", condition.shape());
  const Tensor<T, D> out = condition.clone();
  for (std::int64_t b = 0; b < out.dim(0); ++b)
    if (static_cast<double>(uniform_at(s, static_cast<std::uint64_t>(first + b))) < p)
      out.slice(b, b + 1).copy_from(null.reshape(out.shape().with(0, 1)));
  return out;
}

}  // namespace hypersd::diffusion
