// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <hypersd/ops/attention.hpp>

// The instantiations that emulated.hpp declares.
namespace hypersd::ops::backend {

template void attention(const emulated::Kernels&, const AttentionGeometry&, const float*, const float*, const float*,
                        float*, float*);
template void attention_gradient(const emulated::Kernels&, const AttentionGeometry&, const float*, const float*,
                                 const float*, const float*, const float*, const float*, float*, float*, float*);
template void attention(const emulated::Kernels&, const AttentionGeometry&, const half*, const half*, const half*,
                        half*, float*);
template void attention_gradient(const emulated::Kernels&, const AttentionGeometry&, const half*, const half*,
                                 const half*, const half*, const half*, const float*, half*, half*, half*);
template void attention(const emulated::Kernels&, const AttentionGeometry&, const bfloat16*, const bfloat16*,
                        const bfloat16*, bfloat16*, float*);
template void attention_gradient(const emulated::Kernels&, const AttentionGeometry&, const bfloat16*, const bfloat16*,
                                 const bfloat16*, const bfloat16*, const bfloat16*, const float*, bfloat16*, bfloat16*,
                                 bfloat16*);

}  // namespace hypersd::ops::backend
