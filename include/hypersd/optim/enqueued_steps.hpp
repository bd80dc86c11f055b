// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <string>
#include <vector>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/kernels.cuh>
#endif

namespace hypersd::optim {

/// Steps of an `AdamW` that the host enqueues without synchronizing: gradient clipping, update, and the average of the
/// parameters. The device computes the gradient norm, and from the first step on whose loss or norm is not finite it
/// updates nothing; the host learns of that in `synchronize`. The numbers are those of `grad_norm`, `AdamW::step` and
/// `Ema::update` one after the other.
///
/// A step is `prepare(lr)`, then the work of `enqueue(loss)`, then `done()`. `enqueue` is capturable in a CUDA graph
/// (`Graph`), which is launched in its place: it reads what `prepare` has written.
template <Floating T, Device D>
class EnqueuedSteps {
 public:
  using A = Accumulator<T>;

  /// Losses and norms of the steps since the last `synchronize`.
  struct Outcome {
    std::vector<double> losses, norms;  ///< of each step; the norm before clipping
    std::int64_t bad = -1;              ///< the first step that was not finite and updated nothing, or -1
    int part = -1;                      ///< which of its losses was not finite (see `FlatGradients`), or -1
  };
  /// Where the gradients of an update are.
  enum class Gradients {
    own,  ///< in the variables: `enqueue(loss)`
    flat  ///< in `FlatGradients`, and the device counts the updates: `enqueue(gradients)`
  };

  /// Works on the state of `adamw` and of `ema` (may be null), which must outlive it. At most `capacity` >= 1 steps go
  /// between two calls of `synchronize`. `max_norm` = 0 does not clip. Throws OptionError for the capacity, or if the
  /// averages are not those of the optimiser's parameters.
  EnqueuedSteps(AdamW<T, D>& adamw, Ema<T, D>* ema, double max_norm, std::int64_t capacity,
                Gradients gradients = Gradients::own)
      : adamw_(adamw),
        ema_(ema),
        max_norm_(max_norm),
        capacity_(capacity),
        flat_(gradients == Gradients::flat),
        square_(Shape{1}),
        status_(Tensor<double, D>::zeros(
            Shape{detail::status_curve + 2 * capacity + (flat_ ? detail::count_numbers * parameters() : 0)})),
        rates_(Shape{2 + 2 * parameters()}),
        updated_(adamw.slots().size(), false) {
    require<OptionError>(capacity >= 1, "AdamW: capacity for ", capacity, " enqueued steps");
    if (ema_) {
      require<OptionError>(ema_->parameters().size() == updated_.size(), "AdamW: ", ema_->parameters().size(),
                           " averages of ", updated_.size(), " parameters");
      for (std::size_t i = 0; i < updated_.size(); ++i)
        require<OptionError>(ema_->parameters()[i].name == adamw_.slots()[i].parameter.name, "AdamW: average '",
                             ema_->parameters()[i].name, "' of parameter '", adamw_.slots()[i].parameter.name, "'");
    }
    reset();
  }

  /// Writes the numbers of the next step to the device. Throws OptionError for the learning rate, or after `capacity`
  /// steps without `synchronize`.
  void prepare(double lr) {
    require<OptionError>(std::isfinite(lr) && lr >= 0, "AdamW: learning rate ", lr);
    require<OptionError>(pending() < capacity_, "AdamW: ", pending(), " enqueued steps without synchronize()");
    const double decay = adamw_.rates(lr, 1).decay, weight = ema_ ? 1 - ema_->next_decay() : 0;
    if (flat_) {
      const double step[3] = {lr, decay, weight};
      return Memory<D>::copy_from_host(status_.data() + detail::status_rate, step, sizeof(step));
    }
    numbers_ = {static_cast<A>(decay), static_cast<A>(weight)};
    for (const auto& slot : adamw_.slots()) {
      const AdamWRates rates = adamw_.rates(lr, slot.steps[0] + 1);
      numbers_.push_back(static_cast<A>(rates.step_size));
      numbers_.push_back(static_cast<A>(rates.root_scale));
    }
    Memory<D>::copy_from_host(rates_.data(), numbers_.data(), numbers_.size() * sizeof(A));
  }

  /// Enqueues the step with the present gradients of the parameters; `loss` has one element. Throws ShapeError, or
  /// OptionError if made for flat gradients.
  void enqueue(const Tensor<T, D>& loss) {
    require<ShapeError>(loss.size() == 1, "AdamW: a loss of shape ", loss.shape());
    require<OptionError>(!flat_, "AdamW: steps made for flat gradients");
    std::vector<Segment<SquareInDouble, T>> gradients;
    for (const auto& slot : adamw_.slots()) {
      const auto& g = slot.parameter.var.grad();
      if (g.defined()) gradients.push_back({{g.data()}, g.size(), {}});
    }
    multi_sum_into(square_, gradients);
    run(DecideStep<T>{loss.data(), 1, square_.data(), max_norm_, status_.data(), capacity_});
    update<T>([&](std::size_t i) {
      const Var<T, D>& var = adamw_.slots()[i].parameter.var;
      updated_[i] = var.grad().defined() && var.size() > 0;
      // Without a gradient the pointer is not read.
      return Gradient<T>{updated_[i] ? var.grad().data() : var.value().data(), updated_[i] != 0, nullptr};
    });
  }
  /// The same with gradients and losses in device memory. Throws OptionError unless made for flat gradients.
  void enqueue(const FlatGradients<A>& flat) {
    require<OptionError>(flat_, "AdamW: steps not made for flat gradients");
    std::int64_t elements = 0;
    for (const auto& slot : adamw_.slots()) elements += slot.parameter.var.size();
    multi_sum_into(square_, std::vector<Segment<SquareInDouble, A>>{{{flat.gradients}, elements, {}}});
    run(DecideStep<A>{flat.losses, flat.parts, square_.data(), max_norm_, status_.data(), capacity_});
    run(CountUpdates<A>{status_.data(), flat.present, counts(), rates_.data(), adamw_.options().beta1,
                        adamw_.options().beta2, parameters()});
    update<A>([&, at = flat.gradients](std::size_t i) mutable {
      A* const gradient = at;
      at += adamw_.slots()[i].parameter.var.size();
      return Gradient<A>{gradient, true, flat.present + i};
    });
  }

  /// A step was enqueued, by `enqueue` or by launching the graph that captured it.
  void done() {
    steps_.push_back(updated_);
    count(updated_, 1);
  }

  /// Steps since the last `synchronize`.
  [[nodiscard]] std::int64_t pending() const { return static_cast<std::int64_t>(steps_.size()); }

  /// Synchronizes with the device and returns the outcome of the steps since the last call. After a step that was not
  /// finite, step counts are those before it, and the next step updates again.
  Outcome synchronize() {
    Outcome out;
    if (steps_.empty()) return out;
    const std::vector<double> status = status_.to_vector();
    const auto curve = status.begin() + detail::status_curve;
    out.losses.assign(curve, curve + pending());
    out.norms.assign(curve + capacity_, curve + capacity_ + pending());
    out.bad = static_cast<std::int64_t>(status[detail::status_bad]);
    out.part = static_cast<int>(status[detail::status_part]);
    for (std::int64_t i = out.bad; out.bad >= 0 && i < pending(); ++i) count(steps_[static_cast<std::size_t>(i)], -1);
    for (std::int64_t i = 0; flat_ && i < parameters(); ++i)
      adamw_.slots()[static_cast<std::size_t>(i)].steps[0] =
          static_cast<std::int64_t>(curve[2 * capacity_ + detail::count_numbers * i]);
    steps_.clear();
    reset();
    return out;
  }

 private:
  template <class G>
  struct Gradient {
    G* data;
    bool defined;
    const A* present;  ///< see `FlatGradients`; null: as `defined`
  };

  /// Status before a first step.
  void reset() {
    const double start[detail::status_curve] = {0, -1, 1, 1, -1};
    Memory<D>::copy_from_host(status_.data(), start, sizeof(start));
    if (!flat_) return;
    std::vector<double> counts;
    for (const auto& slot : adamw_.slots()) {
      const auto n = static_cast<double>(slot.steps[0]);
      counts.insert(counts.end(), {n, std::pow(adamw_.options().beta1, n), std::pow(adamw_.options().beta2, n)});
    }
    Memory<D>::copy_from_host(this->counts(), counts.data(), counts.size() * sizeof(double));
  }
  [[nodiscard]] std::int64_t parameters() const { return static_cast<std::int64_t>(adamw_.slots().size()); }
  /// Of each parameter, after the losses and norms: see `CountUpdates`.
  [[nodiscard]] double* counts() const { return status_.data() + detail::status_curve + 2 * capacity_; }
  /// Adds `n` steps to the counts of the parameters that a step updates.
  void count(const std::vector<char>& updated, std::int64_t n) {
    for (std::size_t i = 0; i < updated.size(); ++i)
      if (updated[i]) adamw_.slots()[i].steps[0] += n;
    if (ema_) ema_->count(n);
  }
  template <class Kernel>
  void run(const Kernel& kernel) {
    if constexpr (ops::launch::KernelDevice<D>) {
      using ops::launch::run_elements;
      run_elements(D{}, "adamw", kernel);
    } else {
      for (std::int64_t i = 0; i < kernel.size(); ++i) kernel(i);
    }
  }

  /// The updates of all parameters, with gradient_of(i) of each.
  template <class G, class F>
  void update(F&& gradient_of) {
    if (ema_)
      update<true, G>(gradient_of);
    else
      update<false, G>(gradient_of);
  }
  template <bool average, class G, class F>
  void update(F& gradient_of) {
    using Update = EnqueuedUpdate<A, average>;
    std::vector<AdamWSegment<Update, T, G, average>> segments;
    for (std::size_t i = 0; i < updated_.size(); ++i) {
      const Gradient<G> g = gradient_of(i);
      const Update f{status_.data(),     rates_.data(), rates_.data() + 2 + 2 * i,
                     adamw_.constants(), g.defined,     g.present};
      const auto& slot = adamw_.slots()[i];
      if constexpr (average)
        segments.push_back(
            slot.template segment<true>(g.data, f, ema_->exact()[i].data(), ema_->parameters()[i].var.value().data()));
      else if (g.defined)
        segments.push_back(slot.segment(g.data, f));
    }
    multi_update<D>(segments);
  }

  AdamW<T, D>& adamw_;
  Ema<T, D>* ema_;
  double max_norm_;
  std::int64_t capacity_;
  bool flat_;
  Tensor<double, D> square_, status_;
  Tensor<A, D> rates_;
  std::vector<A> numbers_;
  std::vector<char> updated_;             ///< by the last `enqueue`
  std::vector<std::vector<char>> steps_;  ///< the same of each step since the last `synchronize`
};

}  // namespace hypersd::optim
