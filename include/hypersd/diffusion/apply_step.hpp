// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/sample_scales.hpp>
#include <hypersd/diffusion/step.hpp>
#include <hypersd/ops/affine_step.hpp>

namespace hypersd::diffusion {

/// out = c.x x + c.prediction prediction + c.noise z + c.memory memory with the coefficients `c[b]` of sample b, in one
/// pass; `out` may be `x`. z are elements `offset`, `offset` + 1, ... of stream `s`. Throws ShapeError, and OptionError
/// where a memory is asked for and none is given.
template <class T, class D>
void apply_step_into(const Tensor<T, D>& out, const std::vector<StepCoefficients>& c, const Tensor<T, D>& x,
                     const Tensor<T, D>& prediction, Stream s, std::int64_t offset = 0,
                     const Tensor<T, D>& memory = {}) {
  std::vector<double> a, b, n, m;
  for (const StepCoefficients& k : c) {
    a.push_back(k.x);
    b.push_back(k.prediction);
    n.push_back(k.noise);
    m.push_back(k.memory[0]);
  }
  const auto any = [](const std::vector<double>& v) {
    return std::any_of(v.begin(), v.end(), [](double k) { return k != 0; });
  };
  ops::AffineStep<T, D> step{x, sample_scales<T, D>(a), prediction, sample_scales<T, D>(b)};
  if (any(m)) {
    require<OptionError>(memory.defined(), "apply_step: the step reads a memory, but none is given");
    step.second = memory;
    step.second_scale = sample_scales<T, D>(m);
  }
  if (any(n)) step.noise_scale = sample_scales<T, D>(n);
  ops::affine_step_into(out, step, s, offset);
}

}  // namespace hypersd::diffusion
