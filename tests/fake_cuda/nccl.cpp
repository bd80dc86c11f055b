// SPDX-License-Identifier: Apache-2.0
// NCCL: communicators and all-reduces by MPI on the host memory behind device pointers.
#include <mpi.h>
#include <nccl.h>

#include <cstring>
#include <fake_cuda/nccl.hpp>
#include <fake_cuda/state.hpp>
#include <vector>

struct ncclComm {
  MPI_Comm ranks = MPI_COMM_NULL;
  bool live = true;
};

using namespace fake_cuda;

namespace {

std::int64_t done = 0;

/// Communicators are kept, so that the use of a destroyed one shows.
std::vector<std::unique_ptr<ncclComm>>& communicators() {
  static auto* all = new std::vector<std::unique_ptr<ncclComm>>;
  return *all;
}
ncclResult_t refused(const std::string& fault) {
  (void)refuse(cudaErrorInvalidValue, fault);
  return ncclInvalidArgument;
}
/// Whether `value` is the same on all ranks.
bool agree(MPI_Comm ranks, long long value) {
  long long ends[2] = {value, -value};
  (void)MPI_Allreduce(MPI_IN_PLACE, ends, 2, MPI_LONG_LONG, MPI_MIN, ranks);
  return ends[0] == -ends[1];
}

template <class T>
void reduce(const char* from, char* to, int count, MPI_Datatype type, bool mean, MPI_Comm ranks) {
  (void)MPI_Allreduce(from == to ? MPI_IN_PLACE : from, to, count, type, MPI_SUM, ranks);
  int size = 1;
  (void)MPI_Comm_size(ranks, &size);
  auto* values = reinterpret_cast<T*>(to);
  for (int i = 0; mean && i < count; ++i) values[i] /= static_cast<T>(size);
}

}  // namespace

namespace fake_cuda {
std::int64_t reductions() { return done; }
}  // namespace fake_cuda

extern "C" {

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    default: return "unhandled cuda error";
  }
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int next = 0;
  int rank = 0;
  (void)MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  *id = {};
  id->internal[0] = static_cast<char>(++next);
  id->internal[1] = static_cast<char>(rank + 1);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  int ready = 0, size = 0, own = 0;
  (void)MPI_Initialized(&ready);
  if (ready == 0) return ncclSystemError;
  (void)MPI_Comm_size(MPI_COMM_WORLD, &size);
  (void)MPI_Comm_rank(MPI_COMM_WORLD, &own);
  const bool same = agree(MPI_COMM_WORLD, 256 * id.internal[1] + id.internal[0]);
  const bool fits = agree(MPI_COMM_WORLD, id.internal[1] != 0 && ranks == size && rank == own ? 1 : 0);
  if (!same || !fits || ranks != size || rank != own) return refused("a communicator whose ranks do not fit together");
  auto made = std::make_unique<ncclComm>();
  (void)MPI_Comm_dup(MPI_COMM_WORLD, &made->ranks);
  *comm = made.get();
  communicators().push_back(std::move(made));
  ++state().objects;
  return ncclSuccess;
}
/// Waits for the other ranks.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm->live) return refused("a communicator is destroyed twice");
  comm->live = false;
  --state().objects;
  (void)MPI_Comm_free(&comm->ranks);
  return ncclSuccess;
}
/// Waits for nobody, so MPI's communicator stays.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!comm->live) return refused("a communicator is destroyed twice");
  comm->live = false;
  --state().objects;
  return ncclSuccess;
}
ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  if (!comm->live) return refused("all-reduce on a communicator that is destroyed");
  if ((type != ncclFloat32 && type != ncclFloat64) || (op != ncclSum && op != ncclAvg))
    return refused("all-reduce of a kind that the stand-in lacks");
  const cudaError_t status = enqueue(stream, cudaGraphNodeTypeKernel, [=] {
    if (!comm->live) return refuse(cudaErrorInvalidValue, "all-reduce on a communicator that is destroyed");
    const std::size_t bytes = count * (type == ncclFloat32 ? sizeof(float) : sizeof(double));
    const char* source = behind(from, bytes);
    char* target = behind(to, bytes);
    // Asked together, so that no rank waits for one that refuses.
    const bool there = source && target, all = agree(comm->ranks, there ? 1 : 0);
    if (!there || !all) return refuse(cudaErrorInvalidValue, "all-reduce of memory that is not allocated");
    const auto kind = static_cast<long long>(8 * count) + (type == ncclFloat32 ? 2 : 4) + (op == ncclAvg ? 1 : 0);
    if (!agree(comm->ranks, kind)) return refuse(cudaErrorInvalidValue, "all-reduces that differ between ranks");
    if (type == ncclFloat32)
      reduce<float>(source, target, static_cast<int>(count), MPI_FLOAT, op == ncclAvg, comm->ranks);
    else
      reduce<double>(source, target, static_cast<int>(count), MPI_DOUBLE, op == ncclAvg, comm->ranks);
    ++done;
    return cudaSuccess;
  });
  return status == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

}  // extern "C"
