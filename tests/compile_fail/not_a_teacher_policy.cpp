// SPDX-License-Identifier: Apache-2.0
// EXPECT: TeacherPolicy<.*Nobody|'Nobody' does not satisfy 'TeacherPolicy'
#include <hypersd/nn/linear.hpp>
#include <hypersd/pipeline/stage_runner.hpp>

struct Nobody {};
template class hypersd::pipeline::StageRunner<Nobody, hypersd::nn::Linear<float>>;
