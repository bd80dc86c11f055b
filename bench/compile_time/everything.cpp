// SPDX-License-Identifier: Apache-2.0
// The whole library in a user's build: bench/run.sh times the compilation of this file.
#include <hypersd/hypersd.hpp>

int main() {}
