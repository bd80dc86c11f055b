// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <common/program.hpp>
#include <hypersd/dist/group.hpp>
#include <hypersd/pipeline/stop.hpp>
#if HYPERSD_WITH_MPI
#include <hypersd/dist/mpi.hpp>
#endif

namespace distill_lora {

/// Runs `body(group)` as one of the processes that mpirun has started. Returns the exit code; messages of all ranks go
/// to stderr. Throws OptionError in a program that was built without MPI.
template <class Body>
int run_with_mpi([[maybe_unused]] const Body& body, [[maybe_unused]] const char* name) {
#if HYPERSD_WITH_MPI
  const hypersd::dist::Mpi mpi;
  const auto stopped = [] { return 128 + hypersd::pipeline::StopOnSignal::signal(); };
  try {
    body(hypersd::dist::Group(mpi));
    return 0;
  } catch (const hypersd::pipeline::Stopped&) {
    return mpi.rank() == 0 ? program::failed(name) : stopped();
  } catch (const hypersd::CommunicationError&) {
    if (mpi.rank() > 0 && hypersd::pipeline::StopOnSignal::stop()) return stopped();  // rank 0 says so
    const int code = program::failed(name);
    if (mpi.size() > 1) mpi.abort(code);
    return code;
  } catch (...) {
    const int code = program::failed(name);
    if (mpi.size() > 1) mpi.abort(code);  // the others would wait
    return code;
  }
#else
  hypersd::fail<hypersd::OptionError>("--mpi: this program was built without MPI; install it (Debian: libopenmpi-dev ",
                                      "openmpi-bin) and build again");
#endif
}

}  // namespace distill_lora
