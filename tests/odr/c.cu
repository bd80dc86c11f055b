// SPDX-License-Identifier: Apache-2.0
#include "everything.hpp"

std::int64_t from_c(const hypersd::Tensor<float>& t) { return t.size(); }
