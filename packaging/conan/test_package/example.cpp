// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/version.hpp>
#include <hypersd/ops/matmul.hpp>
#include <iostream>

int main() {
  using namespace hypersd;
  const auto a = Tensor<float>::from(Shape{2, 2}, {1, 2, 3, 4});
  std::cout << "hypersd " << version_major << '.' << version_minor << '.' << version_patch << '\n';
  return ops::matmul(a, a)[3] == 22 ? 0 : 1;
}
