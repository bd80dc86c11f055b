// SPDX-License-Identifier: Apache-2.0
#include "everything.hpp"

hypersd::Tensor<float> from_a() { return hypersd::Tensor<float>::full(hypersd::Shape{2, 3}, 1.5F); }
