// SPDX-License-Identifier: Apache-2.0
// nccl_ranks reduce|train|curve|faults RANKS: dist::Nccl between the ranks of an MPI job, on the stand-ins for the CUDA
// runtime and NCCL. Exit code 0 if all is as it should be, on every rank.
#include <hypersd/dist/mpi.hpp>
#include <hypersd/dist/nccl.cuh>
#include <hypersd/dist/run.hpp>

#include <cmath>
#include <fake_cuda/fake_cuda.hpp>
#include <fake_cuda/nccl.hpp>
#include <limits>
#include <pipeline/denoising_runs.hpp>
#include <string>
#include <vector>

namespace {

using namespace hypersd;

void need(bool ok, const std::string& what) { require<Error>(ok, "wrong: ", what); }
void need_message(const std::string& said, const std::string& part) {
  need(said.find(part) != std::string::npos, "'" + said + "' does not say '" + part + "'");
}
template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}
/// The only fault since `reset` is `expected`.
void need_fault(const std::string& expected) {
  const auto& faults = fake_cuda::faults();
  need(faults.size() == 1, std::to_string(faults.size()) + " faults in place of one: " + expected);
  need_message(faults[0], expected);
  fake_cuda::reset();
}

template <class T>
std::vector<T> values(std::int64_t n, int rank) {
  std::vector<T> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(static_cast<T>(10 * i + rank + 1));
  return out;
}

template <class T>
void reduce_tensors(const dist::Group& group) {
  const int n = group.size();
  const auto x = Tensor<T, Cuda>::from(Shape{1000}, values<T>(1000, group.rank()));
  const auto waits = cuda_counts().synchronisations;
  const auto before = fake_cuda::reductions();
  group.all_reduce(x, dist::Reduce::sum);
  group.all_reduce(x.slice(500, 1000), dist::Reduce::mean);  // of equal numbers: as they are
  group.all_reduce(x.slice(0, 500), dist::Reduce::sum);
  need(cuda_counts().synchronisations == waits, "a reduction waits");
  need(fake_cuda::reductions() - before == (n == 1 ? 0 : 3), "the number of reductions");
  const auto got = x.to_vector();
  for (int i = 0; i < 1000; ++i) {
    const int sum = n * 10 * i + n * (n + 1) / 2;
    need(got[static_cast<std::size_t>(i)] == static_cast<T>(i < 500 ? n * sum : sum), "element " + std::to_string(i));
  }
  const auto y = Tensor<T, Cuda>::from(Shape{3}, values<T>(3, group.rank()));
  group.all_reduce(y, dist::Reduce::mean);
  for (int i = 0; i < 3; ++i)
    need(y.to_vector()[static_cast<std::size_t>(i)] == static_cast<T>(10 * i) + static_cast<T>(n + 1) / 2, "a mean");

  // What a capture sees is recorded, and done at each launch.
  const auto z = Tensor<T, Cuda>::from(Shape{1}, std::vector<T>{1});
  const Graph<Cuda> graph([&] { group.all_reduce(z, dist::Reduce::sum); });
  need(z.to_vector()[0] == 1, "a capture computes");
  graph.launch();
  graph.launch();
  need(z.to_vector()[0] == static_cast<T>(n * n), "a recorded reduction");
}

void reduce(const dist::Group& host) {
  const dist::Nccl gpus(host);
  need(gpus.rank() == host.rank() && gpus.size() == host.size(), "rank and size");
  const dist::Group group(gpus);
  need(group.reduces_device(), "device memory goes through the host");
  reduce_tensors<float>(group);
  reduce_tensors<double>(group);
  need(group.any(group.rank() == group.size() - 1) && group.shared(group.rank()) == 0, "what concerns the host");
}

void faults(const dist::Group& host) {
  const std::string me = "rank " + std::to_string(host.rank()) + " of " + std::to_string(host.size());
  const auto x = Tensor<float, Cuda>::from(Shape{4}, values<float>(4, host.rank()));
  {
    const dist::Nccl gpus(host);
    // One rank's memory is too small: an error on all of them, and no rank is left waiting.
    const bool last = host.rank() == host.size() - 1;
    need_message(message_of([&] { gpus.all_reduce_device(x.data(), last ? 5 : 4, dist::Reduce::sum); }),
                 me + ": ncclAllReduce: unhandled cuda error");
    need_fault("memory that is not allocated");
    if (host.size() > 1) {
      need_message(message_of([&] { gpus.all_reduce_device(x.data(), last ? 3 : 4, dist::Reduce::sum); }), me);
      need_fault("differ between ranks");
    }
    float on_host = 0;
    need_message(message_of([&] { gpus.all_reduce_device(&on_host, 1, dist::Reduce::sum); }), me);
    need_fault("memory that is not allocated");
    gpus.all_reduce_device(x.data(), 4, dist::Reduce::mean);  // it goes on
    need(fake_cuda::faults().empty(), "a fault");
  }
  // Ended by an exception on every rank: aborted, not left.
  need_message(message_of([&] {
                 const dist::Nccl gpus(host);
                 fail<IoError>("as expected");
               }),
               "as expected");
  ncclComm_t raw = nullptr;
  ncclUniqueId id{};
  host.on_root([&] { (void)ncclGetUniqueId(&id); });
  id = host.shared(id);
  need(ncclCommInitRank(&raw, host.size() + 1, id, host.rank()) == ncclInvalidArgument, "another number of ranks");
  need_fault("do not fit together");
  need(ncclCommInitRank(&raw, host.size(), id, host.rank()) == ncclSuccess, "a communicator");
  need(ncclCommDestroy(raw) == ncclSuccess, "its end");
  need(ncclAllReduce(x.data(), x.data(), 4, ncclFloat32, ncclSum, raw, nullptr) == ncclInvalidArgument, "no error");
  need_fault("a communicator that is destroyed");
}

/// What is seen at the beginning of a step.
struct Seen {
  std::int64_t waits, downloads, reductions;
};

/// Training on this rank's part of a batch of 12; rank `rank` throws at step `at`. Returns what was thrown.
std::string train(const dist::Group& group, std::vector<Seen>& seen, int rank = -1, std::int64_t at = -1,
                  bool as_task = false) {
  const dist::Slice mine = dist::slice(group, 12);
  const denoising_runs::Net<float, Cuda> net;
  const diffusion::StableDiffusion process;
  auto options = denoising_runs::options(14);  // a line every 4 steps
  options.group = group;
  const auto part = [&](std::int64_t step, const char* name, std::int64_t width) {
    return denoising_runs::data<float, Cuda>(step, Shape{12, width}, name).slice(mine.first, mine.first + mine.count);
  };
  const auto begin = [&](std::int64_t step) {
    const CudaCounts now = cuda_counts();
    seen.push_back({now.synchronisations, now.downloads, fake_cuda::reductions()});
    if (group.rank() == rank && step == at) fail<IoError>("the data of this rank are gone");
  };
  return message_of([&] {
    if (as_task) {
      const Tensor<float, Cuda> condition(Shape{mine.count, 1});
      auto task = diffusion::denoising_task<float, Cuda>(
          process, Shape{mine.count, 4}, 5,
          [&](std::int64_t i, const Tensor<float, Cuda>& to) {
            begin(i);
            to.copy_from(part(i, "x0", 4));
            condition.copy_from(part(i, "condition", 1));
          },
          [&](const Var<float, Cuda>& x, const auto& t) { return net(x, t, condition); }, mine.first);
      (void)pipeline::train(options, net.parameters(), task);
    } else {
      (void)pipeline::train(options, net.parameters(), [&](std::int64_t step) {
        begin(step);
        return diffusion::denoising_loss(net, process, part(step, "x0", 4), part(step, "condition", 1), 5, step,
                                         mine.first);
      });
    }
  });
}

void train_ranks(const dist::Group& host) {
  const dist::Nccl gpus(host);
  const dist::Group group(gpus);
  const bool several = group.size() > 1;
  for (const bool as_task : {false, true}) {
    std::vector<Seen> seen;
    const auto graphs = fake_cuda::counts().graphs;
    need(train(group, seen, -1, -1, as_task).empty(), "an error in training");
    need(seen.size() == 14, "the number of steps");
    for (std::size_t i = 1; i < seen.size(); ++i) {
      const bool line = i % 4 == 0;  // due after the step before
      need(seen[i].waits - seen[i - 1].waits == (line ? 1 : 0), "waits before step " + std::to_string(i));
      need(seen[i].downloads - seen[i - 1].downloads == (line ? 1 : 0), "downloads before step " + std::to_string(i));
      need(seen[i].reductions - seen[i - 1].reductions == (several ? 1 : 0), "reductions of a step");
    }
    need(fake_cuda::counts().graphs - graphs == (as_task && !several ? 12 : 0), "graphs");
  }
  // The last rank throws within a window; the others go on to its end, and all are told by the loss of that step.
  fake_cuda::device().runs_kernels = true;
  for (const bool as_task : {false, true}) {
    std::vector<Seen> seen;
    const int last = group.size() - 1;
    const auto before = fake_cuda::reductions();
    const std::string said = train(group, seen, last, 5, as_task), what = "the data of this rank are gone";
    if (group.rank() == last) {
      need(said == what, said);
    } else {
      need(said == "rank " + std::to_string(last) + " of " + std::to_string(group.size()) + " failed: " + what, said);
    }
    need(seen.size() == (group.rank() == last ? 6 : 8), "steps begun");
    need(fake_cuda::reductions() - before == (several ? 8 : 0), "reductions");
  }
  fake_cuda::device().runs_kernels = false;
}

/// Parameters after 14 steps on this rank's part of a batch of 12, whose step `bad` (of the last rank) is not finite;
/// `said` is the error.
std::vector<float> trained(const dist::Group& group, std::int64_t bad, std::string& said) {
  const dist::Slice mine = dist::slice(group, 12);
  const denoising_runs::Net<float, Cuda> net;
  const diffusion::StableDiffusion process;
  auto options = denoising_runs::options(14);
  options.group = group;
  const auto part = [&](std::int64_t step, const char* name, std::int64_t width) {
    return denoising_runs::data<float, Cuda>(step, Shape{12, width}, name).slice(mine.first, mine.first + mine.count);
  };
  said = message_of([&] {
    (void)pipeline::train(options, net.parameters(), [&](std::int64_t step) {
      const auto x0 = part(step, "x0", 4);
      if (step == bad && group.rank() == group.size() - 1) x0.fill(std::numeric_limits<float>::infinity());
      return diffusion::denoising_loss(net, process, x0, part(step, "condition", 1), 5, step, mine.first);
    });
  });
  std::vector<float> out;
  for (const auto& p : net.parameters())
    for (const float v : p.var.value().to_vector()) out.push_back(v);
  return out;
}

/// With executed kernels: all ranks together learn what one learns from the whole batch, and a loss that is
/// not finite stops them before it changes anything.
void curve(const dist::Group& host) {
  fake_cuda::device().runs_kernels = true;
  {
    const dist::Nccl gpus(host);
    const dist::Group group(gpus);
    std::string said;
    const auto together = trained(group, -1, said), alone = trained({}, -1, said);
    need(said.empty() && together.size() == alone.size(), "an error in training: " + said);
    for (std::size_t i = 0; i < alone.size(); ++i)
      need(std::abs(together[i] - alone[i]) < 1e-4F, "parameter " + std::to_string(i));
    const auto stopped = trained(group, 5, said);
    need_message(said, "step 6 of 14: the loss is nan");
    for (const float v : stopped) need(std::isfinite(v), "a parameter is not finite");
  }
  fake_cuda::device().runs_kernels = false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  set_num_threads(1);
  const dist::Mpi mpi(argc, argv);
  return dist::run(mpi, [&] {
    {
      const Graph<Cuda> handles([] {});
    }  // what a thread creates once
    fake_cuda::reset();
    const auto blocks = fake_cuda::blocks(), objects = fake_cuda::objects();
    need(argc == 3 && std::to_string(mpi.size()) == argv[2], "the number of ranks");
    if (what == "reduce") {
      reduce(mpi);
    } else if (what == "train") {
      train_ranks(mpi);
    } else if (what == "curve") {
      curve(mpi);
    } else if (what == "faults") {
      faults(mpi);
    } else {
      fail<OptionError>("unknown command");
    }
    for (const std::string& fault : fake_cuda::faults()) fail<Error>("fault: ", fault);
    need(fake_cuda::blocks() == blocks && fake_cuda::objects() == objects, "memory or objects are not released");
  });
}
