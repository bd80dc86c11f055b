// SPDX-License-Identifier: Apache-2.0
/// Objectives that need no network of their own, on two processes.
#include "register.hpp"

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/sds.hpp>
#include <hypersd/distill/objectives/tscd.hpp>

namespace {

using namespace hypersd;
using namespace hypersd::distill;

template <class Process>
bool on(const std::string& process) {
  const Process p;
  return bench::objective("denoising/" + process, Denoising<Process>(p)) &&
         bench::objective("pd/" + process, Pd<Process>(p)) && bench::objective("cd/" + process, Cd<Process>(p)) &&
         bench::objective("ctm/" + process, Ctm<Process>(p)) &&
         bench::objective("tscd8/" + process, Tscd<8, Process>(p)) &&
         bench::objective("pcm4/" + process, Pcm<4, Process>(p)) &&
         bench::objective("sds/" + process, Sds<Process>(p)) &&
         bench::objective("preserve/" + process, Preserve<Anywhere, Process>(p));
}

const bool registered =
    on<diffusion::StableDiffusion>("sd") && on<diffusion::Flow>("flow") &&
    bench::objective("perflow/sd", PerFlow<diffusion::StableDiffusion>(diffusion::StableDiffusion{}));

}  // namespace
