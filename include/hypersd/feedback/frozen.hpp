// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/module.hpp>

namespace hypersd::feedback {

/// The same network, whose parameters ask for no gradient; `net` itself is as before. Values are shared until
/// `Parameter::assign` gives one of them new ones. For decoders, rewards and references, which feedback must not train.
template <nn::Module M>
M frozen(const M& net) {
  using V = Var<typename M::value_type, typename M::device_type>;
  M out = net;
  auto freeze = [](const std::string&, auto& p) {
    if (!p.defined()) return;
    static_cast<V&>(p) = V(p.value(), false);
    p.set_requires_grad(false);
  };
  out.visit(freeze, "");
  return out;
}

}  // namespace hypersd::feedback
