// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/diffusion/two_times.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace compare {

using namespace hypersd;

/// Samples that networks were evaluated on. A pass with gradient counts three times: forward, and a backward pass of
/// about twice its cost. A derivative along a direction counts once more. An encoder's features count half.
struct Evaluations {
  double forward = 0, trained = 0;
  [[nodiscard]] double cost() const { return forward + 3 * trained; }
  void add(std::int64_t samples, double share, bool with_gradient) {
    (with_gradient ? trained : forward) += share * static_cast<double>(samples);
  }
};

/// A network that counts what it is asked. Copies share the count.
template <class Net>
struct Counted {
  using value_type = typename Net::value_type;
  using device_type = typename Net::device_type;
  using Condition = typename Net::Condition;

  Net net;
  std::shared_ptr<Evaluations> count = std::make_shared<Evaluations>();

  using V = Var<value_type, device_type>;
  using Times = nn::Times<value_type, device_type>;

  V operator()(const V& x, const Times& t, const Condition& condition) const {
    return counted(x, net(x, t, condition));
  }
  /// The same of a network with a second time.
  V operator()(const V& x, const nn::Interval<value_type, device_type>& t, const Condition& condition)
      const requires diffusion::TwoTimeDenoiser<Net, value_type, device_type, Condition> {
    return counted(x, net(x, t, condition));
  }
  /// The same of one that is told guidance weights w [B].
  V operator()(const V& x, const nn::Interval<value_type, device_type>& t, const Condition& condition,
               const Numbers<value_type, device_type>& w) const requires requires {
    net(x, t, condition, w);
  }
  { return counted(x, net(x, t, condition, w)); }
  std::vector<V> features(const V& x, const Times& t, const Condition& condition) const {
    std::vector<V> out = net.features(x, t, condition);
    count->add(x.dim(0), 0.5, out.front().tracked());
    return out;
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    net.visit(std::forward<F>(f), prefix);
  }

 private:
  V counted(const V& x, V out) const {
    count->add(x.dim(0), 1, out.tracked());
    if (out.has_tangent()) count->add(x.dim(0), 1, false);
    return out;
  }
};

}  // namespace compare
