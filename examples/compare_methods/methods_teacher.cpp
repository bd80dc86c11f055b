// SPDX-License-Identifier: Apache-2.0
/// The teacher under training-free solvers, and the list of all methods.
#include "method.hpp"

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>

namespace compare {

std::vector<Method> teacher_methods() {
  const double guidance = fashion::Options{}.guidance;
  Method m{"teacher", "Teacher, guided", "", true, false, {}, {}};
  m.samplers.push_back(sampler_choice<diffusion::DdimOde>("DDIM", true, {}, guidance));
  m.samplers.push_back(sampler_choice<diffusion::DpmPp2M>("DPM++ 2M", true, {}, guidance, diffusion::EndPoint::clean));
  m.samplers.push_back(sampler_choice<diffusion::Heun>("Heun", true, {}, guidance, diffusion::EndPoint::clean));
  return {m};
}

std::vector<Method> all_methods() {
  std::vector<Method> out;
  for (const auto& family : {teacher_methods(), consistency_methods(), matching_methods()})
    out.insert(out.end(), family.begin(), family.end());
  return out;
}

}  // namespace compare
