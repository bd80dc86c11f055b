// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <hypersd/core/tensor.hpp>
#include <hypersd/dist/communicator.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace hypersd::dist {

/// A handle to any communicator, and a communicator itself; by default `Single`. Trainers, sessions and run folders
/// hold this handle instead of a template parameter, so that their types do not depend on the communicator. A reduction
/// costs one indirect call more. The constructor checks the policy.
class Group {
 public:
  /// One process.
  Group() = default;
  /// Refers to `communicator`, which must outlive the handle.
  template <class C>
  requires(!std::same_as<std::remove_cv_t<C>, Group>) Group(C& communicator)  // NOLINT(google-explicit-constructor)
      : self_(const_cast<void*>(static_cast<const void*>(&communicator))) {
    static_assert(Communicator<C>,
                  "a communicator needs rank(), size(), all_reduce(span, how) for float and double, "
                  "broadcast(bytes, root) and barrier(): see hypersd/dist/communicator.hpp");
    if constexpr (Communicator<C>) {  // one message is enough
      rank_ = communicator.rank();
      size_ = communicator.size();
      calls_ = &table<C>;
    }
  }

  /// Number of this process, from 0.
  [[nodiscard]] int rank() const { return rank_; }
  /// Number of processes.
  [[nodiscard]] int size() const { return size_; }
  /// Whether this is the rank that writes files and reports.
  [[nodiscard]] bool root() const { return rank_ == 0; }
  /// Whether the communicator reduces device memory in stream order (`DeviceCommunicator`) instead of through the host.
  [[nodiscard]] bool reduces_device() const { return calls_ && calls_->has_device; }

  /// Sum or mean of host values over the ranks, in place.
  template <Real T>
  void all_reduce(std::span<T> values, Reduce how) const {
    if (size_ > 1) calls_->reduce(self_, values.data(), static_cast<std::int64_t>(values.size()), how);
  }
  /// The same for a tensor of any device, in place. Device memory goes through the host unless the communicator is a
  /// `DeviceCommunicator`.
  template <Real T, Device D>
  void all_reduce(const Tensor<T, D>& tensor, Reduce how) const {
    if (size_ == 1) return;
    if constexpr (std::derived_from<D, Cpu>) {
      all_reduce(tensor.span(), how);
    } else if (calls_->has_device) {
      calls_->reduce_device(self_, tensor.data(), tensor.size(), how);
    } else {
      const auto host = tensor.template to<Cpu>();
      all_reduce(host.span(), how);
      tensor.copy_from(host.template to<D>());
    }
  }
  /// Copies the bytes of rank `root` to all ranks.
  void broadcast(std::span<std::byte> bytes, int root = 0) const {
    if (size_ > 1) calls_->broadcast(self_, bytes, root);
  }
  /// Returns when all ranks have called it.
  void barrier() const {
    if (size_ > 1) calls_->barrier(self_);
  }

  /// The value of rank `root`, on all ranks.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  [[nodiscard]] T shared(T value, int root = 0) const {
    broadcast(std::as_writable_bytes(std::span<T>(&value, 1)), root);
    return value;
  }
  /// The text of rank `root`, on all ranks.
  [[nodiscard]] std::string shared(std::string text, int root = 0) const {
    text.resize(shared(text.size(), root));
    if (!text.empty()) broadcast(std::as_writable_bytes(std::span<char>(text)), root);
    return text;
  }
  /// Whether `mine` is true on any rank.
  [[nodiscard]] bool any(bool mine) const {
    double votes = mine ? 1 : 0;
    all_reduce(std::span<double>(&votes, 1), Reduce::sum);
    return votes > 0;
  }
  /// The first rank on which `mine` is true, or -1.
  [[nodiscard]] int first(bool mine) const {
    std::vector<double> votes(static_cast<std::size_t>(size_), 0.0);
    votes[static_cast<std::size_t>(rank_)] = mine ? 1 : 0;
    all_reduce(std::span<double>(votes), Reduce::sum);
    const auto found = std::find(votes.begin(), votes.end(), 1.0);
    return found == votes.end() ? -1 : static_cast<int>(found - votes.begin());
  }
  /// Throws OptionError on all ranks if `value` is not the same on all of them.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void require_same(const char* what, T value) const {
    const T first = shared(value);
    require<OptionError>(!any(!(first == value)), "rank ", rank_, " of ", size_, ": the ranks differ in ", what,
                         " (here ", value, ", on rank 0 ", first, ")");
  }
  /// Ends a step that has failed on rank `failed`. That rank throws `mine` again; the others throw a CommunicationError
  /// with its number and message. All ranks call this.
  [[noreturn]] void rethrow(int failed, const std::exception_ptr& mine) const {
    const std::string message = shared(message_of(mine), failed);
    if (mine) std::rethrow_exception(mine);
    fail<CommunicationError>("rank ", failed, " of ", size_, " failed: ", message);
  }
  /// Runs `f` on rank 0 while the other ranks wait. An exception of `f` is thrown on all ranks, as by `rethrow`.
  template <class F>
  void on_root(F&& f) const {
    if (size_ == 1) return static_cast<void>(f());
    std::exception_ptr mine;
    if (root()) {
      try {
        f();
      } catch (...) {
        mine = std::current_exception();
      }
    }
    if (shared(mine != nullptr)) rethrow(0, mine);
  }

 private:
  struct Calls {
    void (*reduce_float)(void*, float*, std::int64_t, Reduce);
    void (*reduce_double)(void*, double*, std::int64_t, Reduce);
    void (*device_float)(void*, float*, std::int64_t, Reduce);
    void (*device_double)(void*, double*, std::int64_t, Reduce);
    void (*broadcast)(void*, std::span<std::byte>, int);
    void (*barrier)(void*);
    bool has_device;

    void reduce(void* c, float* p, std::int64_t n, Reduce how) const { reduce_float(c, p, n, how); }
    void reduce(void* c, double* p, std::int64_t n, Reduce how) const { reduce_double(c, p, n, how); }
    void reduce_device(void* c, float* p, std::int64_t n, Reduce how) const { device_float(c, p, n, how); }
    void reduce_device(void* c, double* p, std::int64_t n, Reduce how) const { device_double(c, p, n, how); }
  };
  template <class C, class T>
  static void reduce_on(void* c, T* values, std::int64_t n, Reduce how) {
    static_cast<C*>(c)->all_reduce(std::span<T>(values, static_cast<std::size_t>(n)), how);
  }
  template <class C, class T>
  static void device_on(void* c, T* values, std::int64_t n, Reduce how) {
    if constexpr (DeviceCommunicator<C>) static_cast<C*>(c)->all_reduce_device(values, n, how);
  }
  template <class C>
  static constexpr Calls table{
      reduce_on<C, float>,
      reduce_on<C, double>,
      device_on<C, float>,
      device_on<C, double>,
      [](void* c, std::span<std::byte> bytes, int root) { static_cast<C*>(c)->broadcast(bytes, root); },
      [](void* c) { static_cast<C*>(c)->barrier(); },
      DeviceCommunicator<C>};

  static std::string message_of(const std::exception_ptr& error) {
    if (!error) return "";
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      return e.what();
    } catch (...) {
      return "an exception that is no std::exception";
    }
  }

  void* self_ = nullptr;
  int rank_ = 0, size_ = 1;
  const Calls* calls_ = nullptr;
};
static_assert(Communicator<Group>);

}  // namespace hypersd::dist
