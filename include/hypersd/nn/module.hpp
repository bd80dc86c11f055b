// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/nn/parameter.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

/// \file
/// A module is a plain struct whose `visit(f, prefix)` calls `f(name, parameter)` for each of its parameters. A copy of
/// a module shares all parameters with it. `deep_copy` makes an independent copy.

namespace hypersd::nn {

/// Base of visitors of whole layers (`Linear`, `Conv2d`) instead of parameters: they have `layer(path, layer)`.
struct LayerVisitorBase {};
/// A visitor of layers.
template <class F>
concept LayerVisitor = std::derived_from<std::remove_cvref_t<F>, LayerVisitorBase>;

/// `prefix.name`; without the dot if either is empty.
inline std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : name.empty() ? prefix : prefix + "." + name;
}

namespace detail {

template <class M>
inline constexpr bool is_vector = false;
template <class M>
inline constexpr bool is_vector<std::vector<M>> = true;
template <class M>
inline constexpr bool is_optional = false;
template <class M>
inline constexpr bool is_optional<std::optional<M>> = true;
template <class M>
inline constexpr bool is_parameter = false;
template <class T, class D>
inline constexpr bool is_parameter<Parameter<T, D>> = true;

template <class F, class M>
void visit_member(F& f, const std::string& path, M& member) {
  if constexpr (is_parameter<M>) {
    if (member.declared()) f(path, member);
  } else if constexpr (is_vector<M>) {
    for (std::size_t i = 0; i < member.size(); ++i) visit_member(f, join(path, std::to_string(i)), member[i]);
  } else if constexpr (is_optional<M>) {
    if (member) visit_member(f, path, *member);
  } else {
    member.visit(f, path);
  }
}

}  // namespace detail

/// The end of the recursion: no members.
template <class F>
void visit_members(F&, const std::string&) {}
/// Visits members that are listed as name, member, name, member, ... A member is a parameter, a module, a vector (whose
/// elements are `name.0`, `name.1`, ...) or an optional.
template <class F, class M, class... Rest>
void visit_members(F& f, const std::string& prefix, const char* name, M& member, Rest&&... rest) {
  detail::visit_member(f, join(prefix, name), member);
  visit_members(f, prefix, std::forward<Rest>(rest)...);
}

namespace detail {
struct IgnoreParameter {
  template <class V>
  void operator()(const std::string&, V&) const {}
};
}  // namespace detail

/// Base of what wraps a network: it belongs to the diffusion process that the network names, if any (`process`). The
/// wrapper forwards `process_value()` of a network that `HoldsProcess`.
template <class Net>
struct Wraps {};
/// Of a network that names one.
template <class Net>
requires requires { typename Net::process; }
struct Wraps<Net> {
  using process = typename Net::process;
};
/// A network that knows its process as a value.
template <class Net>
concept HoldsProcess = requires(const Net& net) {
  net.process_value();
};

/// A network: `value_type`, `device_type` and `visit(f, prefix)`.
template <class M>
concept Module = requires(M m, detail::IgnoreParameter f, const std::string& prefix) {
  typename M::value_type;
  typename M::device_type;
  m.visit(f, prefix);
};

namespace detail {

// Visitors whose type depends on the element type and the device alone, so that a network's `visit` is compiled once
// for all that is done with its parameters.

template <class V>
class Visit {
 public:
  template <class F>
  explicit Visit(F& f)
      : f_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* to, const std::string& name, V& v) { (*static_cast<F*>(to))(name, v); }) {}
  void operator()(const std::string& name, V& v) const { call_(f_, name, v); }

 private:
  void* f_;
  void (*call_)(void*, const std::string&, V&);
};

template <Scalar T, Device D>
struct VisitAny : Visit<Parameter<T, D>>, Visit<Var<T, D>> {
  template <class F>
  explicit VisitAny(F& f) : Visit<Parameter<T, D>>(f), Visit<Var<T, D>>(f) {}
  using Visit<Parameter<T, D>>::operator();
  using Visit<Var<T, D>>::operator();
};

}  // namespace detail

/// Calls f(name, p) for every p of the network, a `Parameter&` or a `Var&`.
template <Module M, class F>
void visit_variables(M& net, F&& f, const std::string& prefix = "") {
  const detail::VisitAny<typename M::value_type, typename M::device_type> visitor(f);
  net.visit(visitor, prefix);
}
/// The same for a network that has parameters only.
template <Module M, class F>
void visit_parameters(M& net, F&& f, const std::string& prefix = "") {
  const detail::Visit<Parameter<typename M::value_type, typename M::device_type>> visitor(f);
  net.visit(visitor, prefix);
}

/// A parameter and its name in files.
template <Scalar T, Device D = Cpu>
struct NamedVar {
  std::string name;  ///< path in the module, as in files
  Var<T, D> var;     ///< a handle: changes reach the module
};

/// All parameters that are variables, in the order of visit: those held in 16 bits are constants and not among them.
template <Module M>
std::vector<NamedVar<typename M::value_type, typename M::device_type>> parameters(M& net,
                                                                                  const std::string& prefix = "") {
  std::vector<NamedVar<typename M::value_type, typename M::device_type>> list;
  auto collect = [&](const std::string& name, auto& p) {
    if (p.defined()) list.push_back({name, p});
  };
  visit_variables(net, collect, prefix);
  return list;
}

/// Makes all parameters trainable or not, adapters included.
template <Module M>
void set_requires_grad(M& net, bool on) {
  auto set = [on](const std::string&, auto& p) {
    if constexpr (!detail::is_parameter<std::remove_cvref_t<decltype(p)>>) {
      if (!p.defined()) return;
    }
    p.set_requires_grad(on);
  };
  visit_variables(net, set);
}

/// Elements and tensors of a module.
struct ParameterCount {
  std::int64_t elements = 0;  ///< numbers in all parameters
  std::int64_t tensors = 0;   ///< parameters
  bool operator==(const ParameterCount&) const = default;
};

/// Counts from the declared shapes; values are not needed. Adapters are excluded; `lora_count` counts them.
template <Module M>
ParameterCount count_parameters(const M& net) {
  ParameterCount n;
  auto add = [&](const std::string&, auto& p) {
    if constexpr (detail::is_parameter<std::remove_cvref_t<decltype(p)>>) {
      if (p.adapter()) return;
    }
    n.elements += p.size();
    ++n.tensors;
  };
  M handles = net;
  visit_variables(handles, add);
  return n;
}
/// The number of elements of `count_parameters`.
template <Module M>
std::int64_t parameter_count(const M& net) {
  return count_parameters(net).elements;
}

/// Bytes of all values as they are held, adapters included.
template <Module M>
std::int64_t parameter_bytes(const M& net) {
  std::int64_t bytes = 0;
  M handles = net;
  auto add = [&](const std::string&, auto& p) { bytes += p.bytes(); };
  visit_parameters(handles, add);
  return bytes;
}

/// A copy that shares no variable with `net`; gradients are not copied, constants held in 16 bits are shared. A
/// teacher, a student and a target are deep copies of one network.
template <Module M>
M deep_copy(const M& net) {
  using V = Var<typename M::value_type, typename M::device_type>;
  M out = net;
  auto detach = [](const std::string&, auto& p) {
    if (p.defined()) static_cast<V&>(p) = V(p.value().clone(), p.requires_grad());
  };
  visit_variables(out, detach);
  return out;
}

/// Copies the values of `from` into `to`, whose device and element type may differ. Throws FormatError unless both have
/// the same parameter names, ShapeError unless the shapes agree.
template <Module From, Module To>
void copy_parameters(const From& from, To& to) {
  using E = typename To::device_type;
  using Source = Parameter<typename From::value_type, typename From::device_type>;
  From handles = from;
  std::vector<std::pair<std::string, Source>> source;
  auto collect = [&](const std::string& name, auto& p) {
    if (p.has_values()) source.emplace_back(name, p);
  };
  visit_parameters(handles, collect);
  std::size_t i = 0;
  auto copy = [&](const std::string& name, auto& p) {
    require<FormatError>(i < source.size() && source[i].first == name, "copy_parameters: the source has no '", name,
                         "'");
    const auto value = source[i++].second.get().value();
    if constexpr (std::same_as<typename From::value_type, typename To::value_type>) {
      auto copied = value.template to<E>();
      if constexpr (std::same_as<E, typename From::device_type>) copied = copied.clone();
      p.assign(std::move(copied));
    } else {
      p.assign(value.template to<Cpu>().template cast<typename To::value_type>().template to<E>());
    }
  };
  visit_parameters(to, copy);
  require<FormatError>(i == source.size(), "copy_parameters: the target has no '",
                       i < source.size() ? source[i].first : std::string(), "'");
}

}  // namespace hypersd::nn
