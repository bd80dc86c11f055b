// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::distill {

/// Throws OptionError where a student of prediction `P` that starts at time t could not say anything about clean data.
template <diffusion::Prediction P>
void require_signal(const diffusion::NoiseTable& table, int t) {
  require<OptionError>(!P::needs_signal || table.level(t).alpha > 0,
                       "a noise prediction cannot be distilled at zero terminal SNR; use Velocity or X0");
}
/// The same for the last time of the table.
template <diffusion::Prediction P>
void require_signal(const diffusion::NoiseTable& table) {
  require_signal<P>(table, table.size() - 1);
}

}  // namespace hypersd::distill
