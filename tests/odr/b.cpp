// SPDX-License-Identifier: Apache-2.0
#include "everything.hpp"

float from_b(const hypersd::Tensor<float>& t) { return hypersd::ops::sum(t).item(); }
