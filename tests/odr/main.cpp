// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <hypersd/core/tensor.hpp>

hypersd::Tensor<float> from_a();
float from_b(const hypersd::Tensor<float>& t);
#ifdef HYPERSD_TEST_NVCC
std::int64_t from_c(const hypersd::Tensor<float>& t);
#else
static std::int64_t from_c(const hypersd::Tensor<float>& t) { return t.size(); }
#endif

int main() {
  const auto t = from_a();
  const bool ok = from_b(t) == 9.0F && from_c(t) == 6;
  std::puts(ok ? "one tensor, three translation units" : "the translation units disagree");
  return ok ? 0 : 1;
}
