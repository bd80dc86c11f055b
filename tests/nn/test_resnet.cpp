// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/resnet.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE_TEMPLATE("resnet block: output and gradients of diffusers' ResnetBlock2D", T, float, double) {
  struct Case {
    std::string name;
    nn::ResnetOptions options;
  };
  for (const auto& [name, options] :
       {Case{"resnet_same", {16, 16, 12, 8, 1e-5}}, Case{"resnet_shortcut", {16, 24, 12, 8, 1e-5}},
        Case{"resnet_vae", {16, 8, 0, 8, 1e-6}}}) {
    INFO(name);
    const golden::File file(name);
    nn::ResnetBlock<T> block(options);
    file.load(block);
    const Var<T> x(file.image<T>("in.x"), true);
    Var<T> temb;
    if (options.embedding) temb = Var<T>(file.get<T>("in.temb"), true);
    const auto y = block(x, temb.defined() ? autograd::silu(temb) : temb);
    CHECK(file.difference(y.value(), file.image<T>("out")) < golden::tolerance<T>);
    autograd::backward(y, file.image<T>("grad_out"));
    CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < golden::tolerance<T>);
    if (temb.defined()) CHECK(file.difference(temb.grad(), file.get<T>("grad_in.temb")) < golden::tolerance<T>);
    file.check_gradients(block, golden::tolerance<T>);
  }
}
