// SPDX-License-Identifier: Apache-2.0
// EXPECT: Cuda tensors need a CUDA translation unit
#include <hypersd/core/tensor.hpp>

int main() { return static_cast<int>(hypersd::Tensor<float, hypersd::Cuda>(hypersd::Shape{2}).size()); }
