// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/module.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/random.hpp>

namespace hypersd::nn {

/// Draws the values of one parameter from the stream of its name. Those of a 16-bit type are the float32 ones, rounded.
template <Floating T, Device D>
void init_parameter(Parameter<T, D>& p, std::uint64_t seed, const std::string& name) {
  const Initializer& how = p.initializer();
  using A = Accumulator<T>;
  const A scale = static_cast<A>(how.scale);
  switch (how.kind) {
    case Initializer::Kind::constant: return p.assign(Tensor<T, D>::full(p.shape(), converted<T>(scale)));
    case Initializer::Kind::uniform: return p.assign(ops::uniform<T, D>(p.shape(), stream(seed, name), -scale, scale));
    case Initializer::Kind::normal: {
      auto value = ops::normal<A, D>(p.shape(), stream(seed, name));
      ops::map_into(value, ops::Affine<A>{scale, A(0)}, value);
      return p.assign(ops::cast<T>(value));
    }
    case Initializer::Kind::table: {
      std::vector<T> values;
      for (const double v : how.table(p.shape(), how.scale)) values.push_back(converted<T>(v));
      return p.assign(Tensor<T, D>::from(p.shape(), values));
    }
  }
}

/// Fills every parameter as its layer declares. The values of a parameter depend only on the seed and its name. Modules
/// that share parameters with `net` see the new values, so call it before `load_state_dict` and before copies are made.
template <Module M>
void init_parameters(M& net, std::uint64_t seed, const std::string& prefix = "") {
  auto init = [seed](const std::string& name, auto& p) { init_parameter(p, seed, name); };
  visit_parameters(net, init, prefix);
}

}  // namespace hypersd::nn
