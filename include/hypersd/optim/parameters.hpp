// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace hypersd::optim {

/// A trainable variable and its name in files.
template <Floating T, Device D = Cpu>
struct Parameter {
  std::string name;
  Var<T, D> var;
};

/// Parameters in a fixed order. Entries are handles: an update of the list updates the network.
template <Floating T, Device D = Cpu>
using ParameterList = std::vector<Parameter<T, D>>;

/// The parameters of `net` (anything with `visit(f, prefix)` calling `f(name, Var&)`) that require a gradient,
/// or all of them with `trainable_only = false`.
template <Floating T, Device D = Cpu, class Net>
ParameterList<T, D> parameters_of(Net& net, const std::string& prefix = "", bool trainable_only = true) {
  ParameterList<T, D> list;
  net.visit(
      [&](const std::string& name, Var<T, D>& var) {
        if (var.defined() && (!trainable_only || var.requires_grad())) list.push_back({name, var});
      },
      prefix);
  return list;
}

/// The same for a network that names its own `value_type` and `device_type`, as those of nn do.
template <class Net>
auto parameters_of(Net& net, const std::string& prefix = "", bool trainable_only = true) {
  return parameters_of<typename Net::value_type, typename Net::device_type>(net, prefix, trainable_only);
}

/// A list of anything with members `name` and `var` (as nn's `parameters` and `lora_parameters` return) as parameters.
template <class Named>
auto parameter_list(const std::vector<Named>& named) {
  using V = std::remove_cvref_t<decltype(named[0].var)>;
  ParameterList<typename V::value_type, typename V::device_type> list;
  for (const Named& n : named) list.push_back({n.name, n.var});
  return list;
}

/// Number of elements of all parameters together.
template <class T, class D>
std::int64_t parameter_count(const ParameterList<T, D>& parameters) {
  std::int64_t n = 0;
  for (const auto& p : parameters) n += p.var.size();
  return n;
}

/// Clears all gradients.
template <class T, class D>
void zero_grad(const ParameterList<T, D>& parameters) {
  for (auto p : parameters) p.var.zero_grad();
}

/// Throws OptionError unless every parameter is defined and every name occurs once.
template <class T, class D>
void require_distinct(const ParameterList<T, D>& parameters, const char* who) {
  std::unordered_set<std::string> names;
  for (const auto& p : parameters) {
    require<OptionError>(p.var.defined(), who, ": parameter '", p.name, "' is undefined");
    require<OptionError>(names.insert(p.name).second, who, ": two parameters are called '", p.name, "'");
  }
}

}  // namespace hypersd::optim
