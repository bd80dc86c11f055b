// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/launch.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/ema.hpp>
#include <string>
#include <vector>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/kernels_cuda.cuh>
#endif

namespace hypersd::optim {

namespace detail {

/// Places in the numbers that the device keeps of the running steps; losses and norms of the steps follow.
enum Board : std::int64_t { board_count, board_bad, board_scale, board_open, board_curve };

}  // namespace detail

/// Decides one step: is loss and gradient norm finite, by how much is the gradient scaled (see `clip_factor`). The
/// first step that is not finite closes the board for all that follow.
template <Floating T>
struct DecideStep {
  const T* loss;
  const double* square;  ///< of the gradient's norm
  double max_norm;
  double* board;
  std::int64_t capacity;

  [[nodiscard]] HYPERSD_HD static std::int64_t size() { return 1; }
  HYPERSD_HD void operator()(std::int64_t) const {
    const auto value = static_cast<double>(widened(*loss));
    const double norm = math::sqrt(*square);
    const auto step = static_cast<std::int64_t>(board[detail::board_count]);
    board[detail::board_curve + step] = value;
    board[detail::board_curve + capacity + step] = norm;
    const bool finite = value - value == 0 && norm - norm == 0;
    if (!finite && board[detail::board_bad] < 0) board[detail::board_bad] = static_cast<double>(step);
    board[detail::board_open] = board[detail::board_bad] < 0 ? 1 : 0;
    const double factor = max_norm / (norm + 1e-6);
    board[detail::board_scale] = max_norm > 0 && factor < 1 ? factor : 1;
    board[detail::board_count] = static_cast<double>(step + 1);
  }
};

/// AdamW's update and the average's after it, of one element.
template <Real A>
struct AdamWLerp {
  AdamWUpdate<A> update;
  Lerp<A> lerp;

  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v) const { update(p, g, m, v); }
  HYPERSD_HD void operator()(A& p, const A& g, A& m, A& v, A& average) const {
    update(p, g, m, v);
    lerp(average, p);
  }
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const P& g, A& m, A& v, A& master) const {
    update(p, g, m, v, master);
  }
  template <Narrow P>
  HYPERSD_HD void operator()(P& p, const P& g, A& m, A& v, A& master, A& average, P& rounded) const {
    update(p, g, m, v, master);
    lerp(average, p, rounded);
  }
};

/// The same while the board is open, with the step's numbers read from the device.
template <Real A>
struct GatedAdamW {
  const double* board;
  const A *common, *rates;  ///< {decay, weight of the average}; {step_size, root_scale} of the parameter
  AdamWUpdate<A> constants;

  [[nodiscard]] HYPERSD_HD bool closed() const { return board[detail::board_open] == 0; }
  [[nodiscard]] HYPERSD_HD AdamWLerp<A> resolved() const {
    AdamWLerp<A> out{constants, {common[1]}};
    out.update.grad_scale = static_cast<A>(board[detail::board_scale]);
    out.update.decay = common[0];
    out.update.step_size = rates[0];
    out.update.root_scale = rates[1];
    return out;
  }
};

/// The average of a parameter without gradient.
template <Real A>
struct GatedLerp {
  const double* board;
  const A* common;
  [[nodiscard]] HYPERSD_HD bool closed() const { return board[detail::board_open] == 0; }
  [[nodiscard]] HYPERSD_HD Lerp<A> resolved() const { return {common[1]}; }
};

/// Clipping, AdamW and the average of its parameters in which the host never waits: the device itself finds the
/// gradient's norm, and does nothing from the first step on whose loss or norm is not finite. The host learns of that
/// when it asks. The numbers are those of `grad_norm`, `AdamW::step` and `Ema::update` one after the other.
///
/// A step is `prepare(lr)`, then the work of `enqueue(loss)`, then `done()`. What `enqueue` does may be recorded in a
/// `Graph` and launched instead: it reads what `prepare` has written.
template <Floating T, Device D>
class DeferredAdamW {
 public:
  using A = Accumulator<T>;

  /// Losses and norms since the last question.
  struct Outcome {
    std::vector<double> losses, norms;  ///< of each step, the norm before clipping
    std::int64_t bad = -1;              ///< the first step that was not finite and changed nothing, or -1
  };

  /// Works on the state of `adamw` and of `ema` (may be null), which must outlive it. At most `capacity` steps go
  /// between two questions. `max_norm` = 0 clips nothing.
  DeferredAdamW(AdamW<T, D>& adamw, Ema<T, D>* ema, double max_norm, std::int64_t capacity)
      : adamw_(adamw),
        ema_(ema),
        max_norm_(max_norm),
        capacity_(capacity),
        square_(Shape{1}),
        board_(Tensor<double, D>::zeros(Shape{detail::board_curve + 2 * capacity})),
        rates_(Shape{2 + 2 * static_cast<std::int64_t>(adamw.slots().size())}),
        updated_(adamw.slots().size(), false) {
    require<OptionError>(capacity >= 1, "deferred AdamW: capacity ", capacity);
    if (ema_) {
      require<OptionError>(ema_->parameters().size() == updated_.size(), "deferred AdamW: ", ema_->parameters().size(),
                           " averages of ", updated_.size(), " parameters");
      for (std::size_t i = 0; i < updated_.size(); ++i)
        require<OptionError>(ema_->parameters()[i].name == adamw_.slots()[i].parameter.name,
                             "deferred AdamW: average '", ema_->parameters()[i].name, "' of parameter '",
                             adamw_.slots()[i].parameter.name, "'");
    }
    clear();
  }

  /// Writes the numbers of the next step to the device.
  void prepare(double lr) {
    require<OptionError>(std::isfinite(lr) && lr >= 0, "AdamW: learning rate ", lr);
    require<OptionError>(pending() < capacity_, "deferred AdamW: ", pending(), " steps without a question");
    numbers_.clear();
    numbers_.push_back(static_cast<A>(adamw_.rates(lr, 1).decay));
    numbers_.push_back(static_cast<A>(ema_ ? 1 - ema_->next_decay() : 0));
    for (const auto& slot : adamw_.slots()) {
      const AdamWRates rates = adamw_.rates(lr, slot.steps[0] + 1);
      numbers_.push_back(static_cast<A>(rates.step_size));
      numbers_.push_back(static_cast<A>(rates.root_scale));
    }
    Memory<D>::copy_from_host(rates_.data(), numbers_.data(), numbers_.size() * sizeof(A));
  }

  /// Enqueues the step with the gradients that the parameters now have; `loss` has one element.
  void enqueue(const Tensor<T, D>& loss) {
    require<ShapeError>(loss.size() == 1, "deferred AdamW: a loss of shape ", loss.shape());
    std::vector<Segment<SquareInDouble, T>> gradients;
    for (const auto& slot : adamw_.slots()) {
      const auto& g = slot.parameter.var.grad();
      if (g.defined()) gradients.push_back({{g.data()}, g.size(), {}});
    }
    multi_sum_into(square_, gradients);
    decide({loss.data(), square_.data(), max_norm_, board_.data(), capacity_});
    if (ema_)
      update<true>();
    else
      update<false>();
  }

  /// A step was enqueued, by `enqueue` or by launching what it recorded.
  void done() {
    steps_.push_back(updated_);
    count(updated_, 1);
  }

  [[nodiscard]] std::int64_t pending() const { return static_cast<std::int64_t>(steps_.size()); }

  /// Waits for the device and tells how the steps since the last question went. If one was bad, step counts are those
  /// before it, and the board is open again.
  Outcome ask() {
    Outcome out;
    if (steps_.empty()) return out;
    const std::vector<double> board = board_.to_vector();
    const auto curve = board.begin() + detail::board_curve;
    out.losses.assign(curve, curve + pending());
    out.norms.assign(curve + capacity_, curve + capacity_ + pending());
    out.bad = static_cast<std::int64_t>(board[detail::board_bad]);
    for (std::int64_t i = out.bad; out.bad >= 0 && i < pending(); ++i) count(steps_[static_cast<std::size_t>(i)], -1);
    steps_.clear();
    clear();
    return out;
  }

 private:
  void clear() {
    const double start[detail::board_curve] = {0, -1, 1, 1};
    Memory<D>::copy_from_host(board_.data(), start, sizeof(start));
  }
  /// One step more or less of the parameters that it updated.
  void count(const std::vector<char>& updated, std::int64_t n) {
    for (std::size_t i = 0; i < updated.size(); ++i)
      if (updated[i]) adamw_.slots()[i].steps[0] += n;
    if (ema_) ema_->count(n);
  }
  void decide(const DecideStep<T>& step) {
    if constexpr (ops::launch::KernelDevice<D>) {
      using ops::launch::run_elements;
      run_elements(D{}, "adamw", step);
    } else {
      step(0);
    }
  }

  template <bool average>
  void update() {
    using G = GatedAdamW<A>;
    using Wide = std::conditional_t<average, Segment<G, T, T, A, A, A>, Segment<G, T, T, A, A>>;
    using Mixed = std::conditional_t<average, Segment<G, T, T, A, A, A, A, T>, Segment<G, T, T, A, A, A>>;
    std::vector<std::conditional_t<Narrow<T>, Mixed, Wide>> updates;
    std::vector<std::conditional_t<Narrow<T>, Segment<GatedLerp<A>, A, T, T>, Segment<GatedLerp<A>, A, T>>> averages;
    for (std::size_t i = 0; i < updated_.size(); ++i) {
      const auto& slot = adamw_.slots()[i];
      const Var<T, D>& var = slot.parameter.var;
      T *p = var.value().data(), *rounded = nullptr;
      A *m = slot.mean.data(), *v = slot.square.data(), *exact = nullptr;
      if constexpr (average) {
        exact = ema_->exact()[i].data();
        rounded = ema_->parameters()[i].var.value().data();
      }
      updated_[i] = var.grad().defined() && var.size() > 0;
      if (updated_[i]) {
        T* g = var.grad().data();
        const G f{board_.data(), rates_.data(), rates_.data() + 2 + 2 * i, adamw_.constants()};
        if constexpr (Narrow<T> && average)
          updates.push_back({{p, g, m, v, slot.master.data(), exact, rounded}, var.size(), f});
        else if constexpr (Narrow<T>)
          updates.push_back({{p, g, m, v, slot.master.data()}, var.size(), f});
        else if constexpr (average)
          updates.push_back({{p, g, m, v, exact}, var.size(), f});
        else
          updates.push_back({{p, g, m, v}, var.size(), f});
      } else if constexpr (average && Narrow<T>) {
        averages.push_back({{exact, p, rounded}, var.size(), {board_.data(), rates_.data()}});
      } else if constexpr (average) {
        averages.push_back({{exact, p}, var.size(), {board_.data(), rates_.data()}});
      }
    }
    multi_update<D>(updates);
    if (!averages.empty()) multi_update<D>(averages);
  }

  AdamW<T, D>& adamw_;
  Ema<T, D>* ema_;
  double max_norm_;
  std::int64_t capacity_;
  Tensor<double, D> square_, board_;
  Tensor<A, D> rates_;
  std::vector<A> numbers_;
  std::vector<char> updated_;             ///< by the last `enqueue`
  std::vector<std::vector<char>> steps_;  ///< the same of each step since the last question
};

}  // namespace hypersd::optim
