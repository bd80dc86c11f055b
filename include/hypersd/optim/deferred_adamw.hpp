// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/deferred_elements.hpp>
#include <string>
#include <vector>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/kernels.cuh>
#endif

namespace hypersd::optim {

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
    int part = -1;                      ///< which of its losses was not finite (see `FlatGradients`), or -1
  };
  /// Whose gradients an update takes.
  enum class Gradients {
    own,  ///< those of the variables: `enqueue(loss)`
    flat  ///< `FlatGradients`, of which the device counts the updates: `enqueue(gradients)`
  };

  /// Works on the state of `adamw` and of `ema` (may be null), which must outlive it. At most `capacity` steps go
  /// between two questions. `max_norm` = 0 clips nothing.
  DeferredAdamW(AdamW<T, D>& adamw, Ema<T, D>* ema, double max_norm, std::int64_t capacity,
                Gradients gradients = Gradients::own)
      : adamw_(adamw),
        ema_(ema),
        max_norm_(max_norm),
        capacity_(capacity),
        flat_(gradients == Gradients::flat),
        square_(Shape{1}),
        board_(Tensor<double, D>::zeros(
            Shape{detail::board_curve + 2 * capacity + (flat_ ? detail::count_numbers * parameters() : 0)})),
        rates_(Shape{2 + 2 * parameters()}),
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
    if (flat_) {
      const double step[3] = {lr, adamw_.rates(lr, 1).decay, ema_ ? 1 - ema_->next_decay() : 0};
      return Memory<D>::copy_from_host(board_.data() + detail::board_rate, step, sizeof(step));
    }
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
    require<OptionError>(!flat_, "deferred AdamW: made for flat gradients");
    std::vector<Segment<SquareInDouble, T>> gradients;
    for (const auto& slot : adamw_.slots()) {
      const auto& g = slot.parameter.var.grad();
      if (g.defined()) gradients.push_back({{g.data()}, g.size(), {}});
    }
    multi_sum_into(square_, gradients);
    run(DecideStep<T>{loss.data(), 1, square_.data(), max_norm_, board_.data(), capacity_});
    if (ema_)
      update<true>();
    else
      update<false>();
  }
  /// The same with gradients and losses that lie in memory of the device, in place of the variables' own.
  void enqueue(const FlatGradients<A>& flat) {
    require<OptionError>(flat_, "deferred AdamW: not made for flat gradients");
    std::int64_t elements = 0;
    for (const auto& slot : adamw_.slots()) elements += slot.parameter.var.size();
    multi_sum_into(square_, std::vector<Segment<SquareInDouble, A>>{{{flat.gradients}, elements, {}}});
    run(DecideStep<A>{flat.losses, flat.parts, square_.data(), max_norm_, board_.data(), capacity_});
    run(CountUpdates<A>{board_.data(), flat.present, counts(), rates_.data(), adamw_.options().beta1,
                        adamw_.options().beta2, parameters()});
    if (ema_)
      update_flat<true>(flat);
    else
      update_flat<false>(flat);
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
    out.part = static_cast<int>(board[detail::board_part]);
    for (std::int64_t i = out.bad; out.bad >= 0 && i < pending(); ++i) count(steps_[static_cast<std::size_t>(i)], -1);
    for (std::int64_t i = 0; flat_ && i < parameters(); ++i)
      adamw_.slots()[static_cast<std::size_t>(i)].steps[0] =
          static_cast<std::int64_t>(curve[2 * capacity_ + detail::count_numbers * i]);
    steps_.clear();
    clear();
    return out;
  }

 private:
  void clear() {
    const double start[detail::board_curve] = {0, -1, 1, 1, -1};
    Memory<D>::copy_from_host(board_.data(), start, sizeof(start));
    if (!flat_) return;
    std::vector<double> counts;
    for (const auto& slot : adamw_.slots()) {
      const auto n = static_cast<double>(slot.steps[0]);
      counts.insert(counts.end(), {n, std::pow(adamw_.options().beta1, n), std::pow(adamw_.options().beta2, n)});
    }
    Memory<D>::copy_from_host(this->counts(), counts.data(), counts.size() * sizeof(double));
  }
  [[nodiscard]] std::int64_t parameters() const { return static_cast<std::int64_t>(adamw_.slots().size()); }
  /// Of each parameter, behind the steps' losses and norms: see `CountUpdates`.
  [[nodiscard]] double* counts() const { return board_.data() + detail::board_curve + 2 * capacity_; }
  /// One step more or less of the parameters that it updated.
  void count(const std::vector<char>& updated, std::int64_t n) {
    for (std::size_t i = 0; i < updated.size(); ++i)
      if (updated[i]) adamw_.slots()[i].steps[0] += n;
    if (ema_) ema_->count(n);
  }
  template <class Op>
  void run(const Op& op) {
    if constexpr (ops::launch::KernelDevice<D>) {
      using ops::launch::run_elements;
      run_elements(D{}, "adamw", op);
    } else {
      for (std::int64_t i = 0; i < op.size(); ++i) op(i);
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

  template <bool average>
  void update_flat(const FlatGradients<A>& flat) {
    using G = GatedFlatAdamW<A, average>;
    using Wide = std::conditional_t<average, Segment<G, T, A, A, A, A>, Segment<G, T, A, A, A>>;
    using Mixed = std::conditional_t<average, Segment<G, T, A, A, A, A, A, T>, Segment<G, T, A, A, A, A>>;
    std::vector<std::conditional_t<Narrow<T>, Mixed, Wide>> updates;
    A* g = flat.gradients;
    for (std::size_t i = 0; i < updated_.size(); ++i) {
      const auto& slot = adamw_.slots()[i];
      const Var<T, D>& var = slot.parameter.var;
      T* p = var.value().data();
      A *m = slot.mean.data(), *v = slot.square.data();
      const G f{{board_.data(), rates_.data(), rates_.data() + 2 + 2 * i, adamw_.constants()}, flat.present + i};
      if constexpr (average) {
        A* exact = ema_->exact()[i].data();
        if constexpr (Narrow<T>)
          updates.push_back(
              {{p, g, m, v, slot.master.data(), exact, ema_->parameters()[i].var.value().data()}, var.size(), f});
        else
          updates.push_back({{p, g, m, v, exact}, var.size(), f});
      } else if constexpr (Narrow<T>) {
        updates.push_back({{p, g, m, v, slot.master.data()}, var.size(), f});
      } else {
        updates.push_back({{p, g, m, v}, var.size(), f});
      }
      g += var.size();
    }
    multi_update<D>(updates);
  }

  AdamW<T, D>& adamw_;
  Ema<T, D>* ema_;
  double max_norm_;
  std::int64_t capacity_;
  bool flat_;
  Tensor<double, D> square_, board_;
  Tensor<A, D> rates_;
  std::vector<A> numbers_;
  std::vector<char> updated_;             ///< by the last `enqueue`
  std::vector<std::vector<char>> steps_;  ///< the same of each step since the last question
};

}  // namespace hypersd::optim
