// SPDX-License-Identifier: Apache-2.0
// One policy in a user's build: bench/run.sh times the compilation of this file.
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

int main() {}
