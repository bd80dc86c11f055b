// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>
#include <memory>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace hypersd::autograd {

template <Scalar T, Device D>
class Var;

namespace detail {

template <Scalar T, Device D>
struct Node {
  Tensor<T, D> value, grad;
  Tensor<T, D> tangent;  // forward mode (jvp.hpp); undefined is zero
  bool requires_grad = false;
  std::uint64_t order = 0;  // creation order: greater than that of each input
  std::vector<std::shared_ptr<Node>> inputs;
  std::function<void(const Tensor<T, D>&)> backward;
};

inline std::uint64_t next_order() {
  static std::atomic<std::uint64_t> counter{0};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

inline bool& grad_enabled() {
  thread_local bool enabled = true;
  return enabled;
}

}  // namespace detail

/// While an object of this class is alive, operations of its thread record no tape.
class NoGrad {
 public:
  NoGrad() : before_(std::exchange(detail::grad_enabled(), false)) {}
  ~NoGrad() { detail::grad_enabled() = before_; }
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

/// While an object of this class is alive, operations of its thread record a tape, even inside a `NoGrad` scope.
class EnableGrad {
 public:
  EnableGrad() : before_(std::exchange(detail::grad_enabled(), true)) {}
  ~EnableGrad() { detail::grad_enabled() = before_; }
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool before_;
};

/// A tensor with a gradient, and the history from which the gradient is computed. A handle like `Tensor`: copies refer
/// to the same variable. Accessors other than `defined` and `requires_grad` need a defined variable.
template <Scalar T, Device D = Cpu>
class Var {
 public:
  using value_type = T;
  using device_type = D;
  using Node = detail::Node<T, D>;

  /// An undefined variable, for example an absent bias.
  Var() = default;
  /// A leaf. With `requires_grad`, `backward` leaves its gradient in `grad()`.
  explicit Var(Tensor<T, D> value, bool requires_grad = false) : node_(std::make_shared<Node>()) {
    node_->value = std::move(value);
    node_->requires_grad = requires_grad;
    node_->order = detail::next_order();
  }

  /// False for a default-constructed variable.
  [[nodiscard]] bool defined() const { return node_ != nullptr; }
  /// The tensor.
  [[nodiscard]] const Tensor<T, D>& value() const { return node_->value; }
  /// Replaces the value of a leaf (an update of the optimizer, a loaded file). Throws ShapeError for another shape.
  void set_value(Tensor<T, D> value) {
    require_same_shape("Var::set_value", node_->value.shape(), value.shape());
    node_->value = std::move(value);
  }
  /// The accumulated gradient; undefined until `backward` has reached this variable.
  [[nodiscard]] const Tensor<T, D>& grad() const { return node_->grad; }
  /// Makes the gradient undefined.
  void zero_grad() { node_->grad = {}; }
  /// Replaces the gradient.
  void set_grad(Tensor<T, D> g) { node_->grad = std::move(g); }
  /// Whether `backward` computes a gradient of this variable.
  [[nodiscard]] bool requires_grad() const { return node_ && node_->requires_grad; }
  /// Sets `requires_grad` of a leaf, for later operations.
  void set_requires_grad(bool on) { node_->requires_grad = on; }
  /// Extents of the value.
  [[nodiscard]] const Shape& shape() const { return node_->value.shape(); }
  /// Extent of axis i; negative i counts from the end.
  [[nodiscard]] std::int64_t dim(int i) const { return node_->value.dim(i); }
  /// Number of axes.
  [[nodiscard]] int rank() const { return node_->value.rank(); }
  /// Number of elements.
  [[nodiscard]] std::int64_t size() const { return node_->value.size(); }
  /// The value of a variable of one element, on the host. On a GPU it synchronizes the stream.
  [[nodiscard]] T item() const { return node_->value.item(); }
  /// The same value without history: the stop-gradient of the papers.
  [[nodiscard]] Var detach() const { return Var(node_->value); }

  /// The derivative of the value along the direction of a `jvp` in progress; undefined where it is zero.
  [[nodiscard]] const Tensor<T, D>& tangent() const { return node_->tangent; }
  /// Whether the tangent may differ from zero.
  [[nodiscard]] bool has_tangent() const { return node_ && node_->tangent.defined(); }
  /// Replaces the tangent. Throws ShapeError unless it has the value's shape.
  void set_tangent(Tensor<T, D> tangent) {
    require_same_shape("tangent", node_->value.shape(), tangent.shape());
    node_->tangent = std::move(tangent);
  }

  /// Whether an operation on this variable is recorded now.
  [[nodiscard]] bool tracked() const { return node_ && node_->requires_grad && detail::grad_enabled(); }
  /// Adds `g` to the gradient. The first `g` is stored without a copy and shares its memory with other handles; shared
  /// memory is never written to. Throws ShapeError.
  void accumulate(Tensor<T, D> g) const {
    if (!node_ || !node_->requires_grad) return;
    require_same_shape("gradient", node_->value.shape(), g.shape());
    if (!node_->grad.defined()) {
      node_->grad = std::move(g);
    } else if (node_->grad.unique()) {
      ops::map_into(node_->grad, ops::Add{}, node_->grad, g);
    } else if (g.unique()) {
      ops::map_into(g, ops::Add{}, node_->grad, g);
      node_->grad = std::move(g);
    } else {
      node_->grad = ops::map(ops::Add{}, node_->grad, g);
    }
  }
  /// The node of the tape, for code that records operations.
  [[nodiscard]] const std::shared_ptr<Node>& node() const { return node_; }

 private:
  std::shared_ptr<Node> node_;
};

namespace detail {

/// The forward rule of an operation that has none.
struct NoForwardRule {};

/// sum += term for tangents, where undefined tensors are zero. Memory that other handles share is never written to.
template <class T, class D>
void add_tangent(Tensor<T, D>& sum, Tensor<T, D> term) {
  if (!sum.defined()) {
    sum = std::move(term);
  } else if (sum.unique()) {
    ops::map_into(sum, ops::Add{}, sum, term);
  } else {
    sum = ops::map(ops::Add{}, sum, term);
  }
}
template <class T, class D>
bool any_tangent(const std::vector<Var<T, D>>& inputs) {
  return std::any_of(inputs.begin(), inputs.end(), [](const auto& v) { return v.has_tangent(); });
}

/// Puts `out` on the tape if a gradient is needed for any of `inputs`, and says whether.
template <class T, class D>
bool record(const Var<T, D>& out, const std::vector<Var<T, D>>& inputs) {
  if (!grad_enabled()) return false;
  auto& node = *out.node();
  for (const auto& in : inputs)
    if (in.requires_grad()) node.inputs.push_back(in.node());
  node.requires_grad = !node.inputs.empty();
  return node.requires_grad;
}

}  // namespace detail

/// The result of an operation: `value`, with history if any of `inputs` requires a gradient. `backward(gout)` gets the
/// gradient with respect to `value` and calls `accumulate` on the inputs that it has captured. `forward()`, called at
/// once if any of `inputs` has a tangent, returns the tangent of `value`. This is all that an own operation needs; one
/// that is never used under `jvp` can leave `forward` out, and `jvp` throws Error there.
template <class T, class D, class Backward, class Forward = detail::NoForwardRule>
Var<T, D> make_result(Tensor<T, D> value, const std::vector<Var<T, D>>& inputs, Backward&& backward,
                      Forward&& forward = {}) {
  Var<T, D> out(std::move(value));
  if (detail::any_tangent(inputs)) {
    if constexpr (std::is_same_v<std::remove_cvref_t<Forward>, detail::NoForwardRule>)
      fail<Error>("jvp: an operation with a result of shape ", out.shape(),
                  " has no forward rule: pass one to make_result");
    else
      out.set_tangent(forward());
  }
  if (detail::record(out, inputs)) out.node()->backward = std::forward<Backward>(backward);
  return out;
}

/// Backward pass from `root` with d(loss)/d(root) = `seed`. Gradients of leaves accumulate; those of intermediate
/// results are freed as soon as they are used, together with the tape. Throws Error if `root` requires no gradient,
/// ShapeError for a seed of another shape.
template <class T, class D>
void backward(const Var<T, D>& root, Tensor<T, D> seed) {
  require<Error>(root.requires_grad(), "backward: the loss depends on no variable that requires a gradient");
  require_same_shape("backward", root.shape(), seed.shape());
  using Node = detail::Node<T, D>;
  std::vector<std::shared_ptr<Node>> order{root.node()};
  std::unordered_set<Node*> seen{root.node().get()};
  for (std::size_t i = 0; i < order.size(); ++i)
    for (const auto& in : order[i]->inputs)
      if (seen.insert(in.get()).second) order.push_back(in);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->order > b->order; });
  root.accumulate(std::move(seed));
  for (auto& node : order) {
    if (!node->backward) continue;
    if (node->grad.defined()) node->backward(std::exchange(node->grad, {}));
    // A tape is walked once. Freeing it here frees activations as early as possible.
    node->backward = nullptr;
    node->inputs.clear();
    node.reset();
  }
}

/// Backward pass from a loss of one element. Throws ShapeError for more.
template <class T, class D>
void backward(const Var<T, D>& loss) {
  require<ShapeError>(loss.size() == 1, "backward: the loss has shape ", loss.shape(), ", one element needed");
  backward(loss, Tensor<T, D>::ones(loss.shape()));
}

}  // namespace hypersd::autograd

namespace hypersd {
using autograd::Var;
}
