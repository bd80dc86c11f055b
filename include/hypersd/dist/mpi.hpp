// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <cstdlib>
#include <exception>
#include <hypersd/dist/communicator.hpp>
#include <string>
#include <type_traits>

/// \file
/// The ranks of an MPI job. Needs an MPI library (Debian: libopenmpi-dev; CMake target: hypersd::mpi).

namespace hypersd::dist {

/// All processes that `mpirun` has started, on a duplicated communicator. The constructor initializes MPI unless the
/// program has done so; the destructor then finalizes it. Only one thread may call MPI; worker threads of the library
/// do not. Errors are CommunicationError with the rank and the message of MPI.
class Mpi {
 public:
  /// Removes the arguments of MPI from those of `main`.
  Mpi(int& argc, char**& argv) : Mpi(&argc, &argv) {}
  /// Without access to the arguments of `main`.
  Mpi() : Mpi(nullptr, nullptr) {}
  /// The ranks of `world`, a communicator of a program that initialised MPI itself.
  explicit Mpi(MPI_Comm world) { join(world); }
  /// Finalizes MPI if the constructor has initialized it. During stack unwinding it does nothing, because finalization
  /// waits for the other ranks; `mpirun` then sees this process fail and ends the job.
  ~Mpi() {
    if (std::uncaught_exceptions() > exceptions_) return;
    (void)MPI_Comm_free(&comm_);
    if (owner_) (void)MPI_Finalize();
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;

  /// Number of this process, from 0.
  [[nodiscard]] int rank() const { return rank_; }
  /// Number of processes.
  [[nodiscard]] int size() const { return size_; }
  /// The communicator of MPI.
  [[nodiscard]] MPI_Comm communicator() const { return comm_; }

  /// Sum or mean over the ranks in place, for any number of elements.
  template <class T>
  requires std::is_same_v<T, float> || std::is_same_v<T, double>
  void all_reduce(std::span<T> values, Reduce how) const {
    const MPI_Datatype type = std::is_same_v<T, float> ? MPI_FLOAT : MPI_DOUBLE;
    in_pieces(static_cast<std::int64_t>(values.size()), most / static_cast<std::int64_t>(sizeof(T)),
              [&](std::int64_t begin, std::int64_t n) {
                check(MPI_Allreduce(MPI_IN_PLACE, values.data() + begin, static_cast<int>(n), type, MPI_SUM, comm_),
                      "MPI_Allreduce");
              });
    if (how == Reduce::mean)
      for (T& x : values) x /= static_cast<T>(size_);
  }
  /// Copies the bytes of rank `root` to all ranks.
  void broadcast(std::span<std::byte> bytes, int root) const {
    in_pieces(static_cast<std::int64_t>(bytes.size()), most, [&](std::int64_t begin, std::int64_t n) {
      check(MPI_Bcast(bytes.data() + begin, static_cast<int>(n), MPI_BYTE, root, comm_), "MPI_Bcast");
    });
  }
  /// Returns when all ranks have called it.
  void barrier() const { check(MPI_Barrier(comm_), "MPI_Barrier"); }
  /// Ends all processes of the job; `mpirun` returns `code`.
  [[noreturn]] void abort(int code) const {
    (void)MPI_Abort(comm_, code);
    std::_Exit(code);
  }

 private:
  /// Bytes of one call: MPI counts in int, and some transports fail above 2 GiB.
  static constexpr std::int64_t most = std::int64_t{1} << 30;

  Mpi(int* argc, char*** argv) {
    int there = 0;
    (void)MPI_Initialized(&there);
    if (there == 0) {
      int level = 0;
      check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
      owner_ = true;
      require<CommunicationError>(level >= MPI_THREAD_FUNNELED, "this MPI library allows a process no threads");
    }
    join(MPI_COMM_WORLD);
  }
  void join(MPI_Comm world) {
    check(MPI_Comm_dup(world, &comm_), "MPI_Comm_dup");
    check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  }
  void check(int status, const char* what) const {
    if (status == MPI_SUCCESS) [[likely]]
      return;
    char words[MPI_MAX_ERROR_STRING] = {};
    int length = 0;
    (void)MPI_Error_string(status, words, &length);
    fail<CommunicationError>("rank ", rank_, " of ", size_, ": ", what, ": ", std::string(words));
  }

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  int exceptions_ = std::uncaught_exceptions();
  bool owner_ = false;
};
static_assert(Communicator<Mpi>);

}  // namespace hypersd::dist
