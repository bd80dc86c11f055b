// SPDX-License-Identifier: Apache-2.0
// mpi_training train FOLDER [throw|kill RANK STEP]: the toy run on all ranks; RANK throws or is killed at STEP.
// mpi_training compare A B: exit code 0 if the loss curves of two runs agree to 1e-5.
// mpi_training checkpoint FILE: prints the steps of a checkpoint.
// mpi_training reduce: all-reduces and broadcasts, with an error of MPI.
#include <hypersd/dist/mpi.hpp>
#include <hypersd/dist/run.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "toy_run.hpp"

namespace {

using namespace hypersd;

void need(bool ok, const char* what) { require<Error>(ok, "wrong: ", what); }

void reduce(const dist::Mpi& mpi) {
  const int n = mpi.size(), r = mpi.rank();
  // A message of many packets for any transport.
  std::vector<float> x(1 << 20, static_cast<float>(r + 1));
  mpi.all_reduce(std::span<float>(x), dist::Reduce::mean);
  for (const float v : x) need(v == 0.5F * static_cast<float>(n + 1), "the mean");
  std::vector<double> y{static_cast<double>(r), 1};
  mpi.all_reduce(std::span<double>(y), dist::Reduce::sum);
  need(y[0] == n * (n - 1) / 2 && y[1] == n, "the sum");
  const dist::Group group(mpi);
  need(group.shared(std::string("rank ") + std::to_string(r), n - 1) == "rank " + std::to_string(n - 1), "the text");
  group.barrier();
  const dist::Mpi again(mpi.communicator());
  need(again.rank() == r && again.size() == n, "a communicator of a communicator");
  try {
    mpi.broadcast(std::as_writable_bytes(std::span<double>(y)), 99);  // no such rank
    need(false, "no error");
  } catch (const CommunicationError& error) {
    const std::string said = error.what();
    need(said.starts_with("rank " + std::to_string(r) + " of ") && said.find("MPI_Bcast: ") != said.npos, error.what());
  }
}

int train(const dist::Mpi& mpi, int argc, char** argv) {
  ToyRun run;
  if (argc == 6) {
    const std::string how = argv[3];
    const int rank = std::atoi(argv[4]);
    const std::int64_t at = std::atoi(argv[5]);
    run.before_step = [&mpi, how, rank, at](std::int64_t step) {
      if (step != at || mpi.rank() != rank) return;
      if (how == "kill") (void)std::raise(SIGKILL);
      fail<IoError>("the data of this rank are gone");
    };
  }
  run(argv[2], mpi);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "compare" && argc == 4) {
    const double difference = curve_difference(argv[2], argv[3]);
    std::printf("largest relative difference: %g\n", difference);
    return difference < 1e-5 ? 0 : 1;
  }
  if (what == "checkpoint" && argc == 3) {
    const auto info = records::CheckpointInfo::of(io::SafetensorsFile(argv[2]));
    std::printf("%s %lld\n", info.phase.c_str(), static_cast<long long>(info.step));
    return 0;
  }
  set_num_threads(1);
  const dist::Mpi mpi(argc, argv);
  return dist::run(mpi, [&]() -> int {
    if (what == "reduce") return reduce(mpi), 0;
    if (what == "train" && (argc == 3 || argc == 6)) return train(mpi, argc, argv);
    fail<OptionError>("unknown command");
  });
}
