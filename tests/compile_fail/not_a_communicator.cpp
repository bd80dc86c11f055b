// SPDX-License-Identifier: Apache-2.0
// EXPECT: a communicator needs rank\(\), size\(\), all_reduce
#include <hypersd/dist.hpp>

struct NoReduction {
  int rank() const { return 0; }
  int size() const { return 2; }
};
int main() {
  NoReduction ranks;
  const hypersd::dist::Group group(ranks);
}
