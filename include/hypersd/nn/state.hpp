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

/// A source that also gives tensors of 16 bits as they are stored: `narrow(name, copy)` is undefined for others; with
/// `copy` the result has memory of its own, else it may be the file's.
template <class S>
concept NarrowSource = requires(const S& s, const std::string& name) {
  { s.narrow(name, true) } -> std::same_as<ConstantTensor>;
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
namespace detail {

/// Kernels [out, in, taps] of a file as [out, taps, in], element by element in the order of the file.
template <class T>
void kernels_from_file(const T* from, T* to, std::int64_t out, std::int64_t in, std::int64_t taps) {
  parallel_for(out, 16, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      const T* row = from + o * in * taps;
      T* kernel = to + o * in * taps;
      for (std::int64_t c = 0; c < in; ++c)
        for (std::int64_t t = 0; t < taps; ++t) kernel[t * in + c] = *row++;
    }
  });
}

}  // namespace detail

/// The reverse, for a parameter of shape `shape`. A 1x1 convolution may be a matrix in the file, and the reverse.
/// Throws ShapeError for another number of elements.
template <Scalar T>
Tensor<T, Cpu> from_file_layout(const Tensor<T, Cpu>& value, const Shape& shape) {
  if (shape.rank() != 4 || (shape[1] == 1 && shape[2] == 1)) return value.reshape(shape);
  require<ShapeError>(value.size() == shape.numel(), "a kernel of shape ", value.shape(), " for ", shape);
  Tensor<T, Cpu> out(shape);
  detail::kernels_from_file(value.data(), out.data(), shape[0], shape[3], shape[1] * shape[2]);
  return out;
}
/// The same for 16-bit values, whose memory is shared where the layouts agree.
inline ConstantTensor from_file_layout(const ConstantTensor& value, const Shape& shape) {
  if (shape.rank() != 4 || (shape[1] == 1 && shape[2] == 1)) return value.reshape(shape);
  require<ShapeError>(value.size() == shape.numel(), "a kernel of shape ", value.shape(), " for ", shape);
  const auto in_order = [&]<class T>(T) {
    const Tensor<T, Cpu> out(shape);
    detail::kernels_from_file(value.bits(), reinterpret_cast<std::uint16_t*>(out.data()), shape[0], shape[3],
                              shape[1] * shape[2]);
    return ConstantTensor(out);
  };
  return value.is_half() ? in_order(half()) : in_order(bfloat16());
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

/// Copies of all values except adapters (`lora_state` copies those), in file layout; those held in 16 bits are widened.
template <Module M>
StateDict<typename M::value_type> state_dict(const M& net, const std::string& prefix = "") {
  using T = typename M::value_type;
  StateDict<T> state;
  auto collect = [&](const std::string& name, auto& p) {
    if (p.adapter() || !p.has_values()) return;
    const auto held = p.get().value();
    auto value = to_file_layout(held.template to<Cpu>());
    const bool shared = static_cast<const void*>(value.data()) == static_cast<const void*>(held.data());
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
///
/// From a `NarrowSource`, matrices and kernels of convolutions of 16 bits stay as they are stored where the module can
/// hold them (`Parameter::can_keep`); such a module is for inference and adapters.
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
    if (p.adapter()) return;
    if constexpr (Parameter<T, D>::can_keep && NarrowSource<Source>) {
      // Kernels of several taps change their layout: in a copy, so that the file's pages are not touched.
      const Shape& shape = p.shape();
      const bool copy = shape.rank() == 4 && shape[1] * shape[2] > 1;
      const ConstantTensor stored = shape.rank() > 1 ? source.narrow(name, copy) : ConstantTensor();
      if (stored.defined()) return p.keep(from_file_layout(stored, shape));
    }
    p.assign(from_file_layout<T>(source.template get<T>(name), p.shape()).template to<D>());
  };
  visit_parameters(net, assign, prefix);
}
/// The same from tensors in memory.
template <Module M, Scalar U>
void load_state_dict(M& net, const StateDict<U>& state, const std::string& prefix = "", bool strict = true) {
  load_state_dict(net, StateDictSource<U>{state}, prefix, strict);
}

}  // namespace hypersd::nn
