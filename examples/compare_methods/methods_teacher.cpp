// SPDX-License-Identifier: Apache-2.0
/// The teacher under training-free solvers.
#include "method.hpp"

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>

namespace compare {

template <Device D>
std::vector<Method<D>> teacher_methods() {
  Method<D> m{"teacher", "Teacher, guided", "", true, false, {}, {}, {}, Guidance::sampled};
  m.samplers.push_back(sampler_choice<diffusion::DdimOde, D>("DDIM", true, {}, {.guided = true}));
  const Sampling to_clean{.guided = true, .end = diffusion::EndPoint::clean};
  m.samplers.push_back(sampler_choice<diffusion::DpmPp2M, D>("DPM++ 2M", true, {}, to_clean));
  m.samplers.push_back(sampler_choice<diffusion::Heun, D>("Heun", true, {}, to_clean));
  return {m};
}

template std::vector<Method<Cpu>> teacher_methods();
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> teacher_methods();
#endif

}  // namespace compare
