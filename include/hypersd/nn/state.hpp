// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/module.hpp>
#include <hypersd/ops/copy.hpp>
#include <map>
#include <set>

/// \file
/// The values of a module by name, in the layout of files: convolutions are [out, in, kh, kw] in files and
/// [out, kh, kw, in] in memory. All other tensors have the same layout in both.

namespace hypersd::nn {

/// Tensors by name, in host memory and file layout.
template <Scalar T>
using StateDict = std::map<std::string, Tensor<T, Cpu>>;

/// A source of named tensors, such as a safetensors file: `names()`, `shape(name)` and `get<T>(name)`.
template <class S, class T>
concept TensorSource = requires(const S& s, const std::string& name) {
  s.names();
  { s.shape(name) } -> std::convertible_to<Shape>;
  { s.template get<T>(name) } -> std::convertible_to<Tensor<T, Cpu>>;
};

/// A `StateDict` of any element type as a `TensorSource`.
template <Scalar U>
struct StateDictSource {
  const StateDict<U>& state;
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : state) out.push_back(entry.first);
    return out;
  }
  [[nodiscard]] Shape shape(const std::string& name) const { return state.at(name).shape(); }
  template <Scalar T>
  [[nodiscard]] Tensor<T, Cpu> get(const std::string& name) const {
    if constexpr (std::same_as<T, U>)
      return state.at(name).clone();
    else
      return state.at(name).template cast<T>();
  }
};

/// Shape in files of a parameter of shape `s`.
inline Shape file_shape(const Shape& s) { return s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s; }

/// A host tensor in file layout; shares storage where the layouts agree.
template <Scalar T>
Tensor<T, Cpu> to_file_layout(const Tensor<T, Cpu>& value) {
  if (value.rank() != 4) return value;
  if (value.dim(1) == 1 && value.dim(2) == 1) return value.reshape(file_shape(value.shape()));
  return ops::permute(value, {0, 3, 1, 2});
}
/// The reverse, for a parameter of shape `shape`. A 1x1 convolution may be a matrix in the file, and the reverse.
template <Scalar T>
Tensor<T, Cpu> from_file_layout(const Tensor<T, Cpu>& value, const Shape& shape) {
  if (shape.rank() != 4 || (shape[1] == 1 && shape[2] == 1)) return value.reshape(shape);
  return ops::permute(value, {0, 2, 3, 1});
}
/// Whether a tensor of a file fits a parameter of shape `shape`: shapes are compared up to trailing extents of 1.
inline bool fits_file_shape(const Shape& in_file, const Shape& shape) {
  Shape a = in_file, b = file_shape(shape);
  const auto strip = [](const Shape& s) {
    int rank = s.rank();
    while (rank > 1 && s[rank - 1] == 1) --rank;
    return Shape(s.begin(), s.begin() + rank);
  };
  return a == b || strip(a) == strip(b);
}

/// Copies of all values except adapters (`lora_state` copies those), in file layout.
template <Module M>
StateDict<typename M::value_type> state_dict(const M& net, const std::string& prefix = "") {
  using T = typename M::value_type;
  StateDict<T> state;
  auto collect = [&](const std::string& name, auto& p) {
    if (p.adapter() || !p.defined()) return;
    auto value = to_file_layout(p.value().template to<Cpu>());
    const bool shared = static_cast<const void*>(value.data()) == static_cast<const void*>(p.value().data());
    state.emplace(name, shared ? value.clone() : value);
  };
  M handles = net;
  visit_parameters(handles, collect, prefix);
  return state;
}

namespace detail {

/// First few of `names` for an error message.
inline std::string first_names(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 3; ++i) text += (i ? ", '" : "'") + names[i] + "'";
  return names.size() > 3 ? text + ", ..." : text;
}

}  // namespace detail

/// Loads all parameters except adapters from `source`, converted to the element type of the module. Throws FormatError
/// naming missing and unexpected tensors (a checkpoint of another architecture), ShapeError naming the first tensor of
/// another shape; the module is unchanged then. Without `strict`, unexpected tensors are ignored.
template <Module M, class Source>
requires TensorSource<Source, typename M::value_type>
void load_state_dict(M& net, const Source& source, const std::string& prefix = "", bool strict = true) {
  using T = typename M::value_type;
  using D = typename M::device_type;
  std::set<std::string> unused;
  for (const auto& name : source.names()) unused.insert(std::string(name));
  const std::size_t held = unused.size();
  std::vector<std::string> missing;
  std::vector<std::pair<std::string, std::string>> misfits;
  auto check = [&](const std::string& name, auto& p) {
    if (p.adapter()) return;
    if (unused.erase(name) == 0) return missing.push_back(name);
    const Shape stored = source.shape(name);
    if (!fits_file_shape(stored, p.shape()))
      misfits.emplace_back(name, "has shape " + stored.str() + ", " + file_shape(p.shape()).str() + " needed");
  };
  visit_parameters(net, check, prefix);
  if (!missing.empty() || (strict && !unused.empty())) {
    const std::vector<std::string> unexpected(unused.begin(), unused.end());
    fail<FormatError>("checkpoint of another architecture: of ", held, " tensors, ", missing.size(), " missing",
                      missing.empty() ? "" : " (" + detail::first_names(missing) + ")", ", ", unexpected.size(),
                      " unexpected", unexpected.empty() ? "" : " (" + detail::first_names(unexpected) + ")");
  }
  if (!misfits.empty())
    fail<ShapeError>("checkpoint of another architecture: '", misfits[0].first, "' ", misfits[0].second, " (",
                     misfits.size(), " tensors do not fit)");
  auto assign = [&](const std::string& name, auto& p) {
    if (!p.adapter()) p.assign(from_file_layout<T>(source.template get<T>(name), p.shape()).template to<D>());
  };
  visit_parameters(net, assign, prefix);
}
/// The same from tensors in memory.
template <Module M, Scalar U>
void load_state_dict(M& net, const StateDict<U>& state, const std::string& prefix = "", bool strict = true) {
  load_state_dict(net, StateDictSource<U>{state}, prefix, strict);
}

}  // namespace hypersd::nn
