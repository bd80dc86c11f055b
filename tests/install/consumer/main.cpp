// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/version.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <iostream>
#include <string>

int main() {
  using namespace hypersd;
  const auto a = Tensor<float>::from(Shape{2, 2}, {1, 2, 3, 4});
  const auto product = ops::matmul(a, a);
  const std::string version =
      std::to_string(version_major) + '.' + std::to_string(version_minor) + '.' + std::to_string(version_patch);
  std::cout << "hypersd " << version << ": " << product[0] << ' ' << product[3] << '\n';
  return product[0] == 7 && product[3] == 22 && version == VERSION ? 0 : 1;
}
