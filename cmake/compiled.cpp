// SPDX-License-Identifier: Apache-2.0
/// What hypersd::compiled holds; see hypersd/compiled.hpp.

#include <hypersd/compiled.hpp>

namespace hypersd {
HYPERSD_OPERATION_INSTANCES(, Cpu)
HYPERSD_NETWORK_INSTANCES(, Cpu)
}  // namespace hypersd
