#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# faults.sh ROOT: check.sh finds each kind of fault in a copy of the headers with that fault.
set -u
root=$1
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
failed=0

# expect REGEX COMMAND...: after COMMAND in a fresh copy, check.sh prints REGEX and fails.
expect() {
  local regex=$1 said
  shift
  rm -rf "${copy:?}"/*
  cp -r "$root/include" "$copy/"
  mkdir "$copy/cmake" && cp "$root/cmake/deps.sh" "$copy/cmake/"
  (cd "$copy/include/hypersd" && eval "$*")
  if said=$(bash "$root/tests/structure/check.sh" "$copy" 2>&1) || ! grep -qE -- "$regex" <<<"$said"; then
    printf 'not found: %s\n%s\n' "$regex" "$said"
    failed=1
  fi
}

head='// SPDX-License-Identifier: Apache-2.0\n#pragma once\n'
expect 'core must not include ops' "printf '#include <hypersd/ops/map.hpp>\n' >>core/shape.hpp"
expect 'includes the umbrella' "printf '#include <hypersd/core.hpp>\n' >>ops/map.hpp"
expect 'nothing.hpp> does not exist' "printf '#include <hypersd/core/nothing.hpp>\n' >>ops/map.hpp"
expect 'relative include' "printf '#include \"shape.hpp\"\n' >>core/tensor.hpp"
expect 'unlisted.hpp> is not listed' "printf '$head' >core/unlisted.hpp"
expect 'nothing installs <novel/' "printf '#include <novel/a.hpp>\n' >>ops/map.hpp"
expect 'has no rule' "mkdir novel && printf '$head#include <hypersd/core/shape.hpp>\n' >novel/a.hpp"
expect 'hypersd.hpp: <hypersd/core.hpp> is not listed' "sed -i '/core.hpp/d' hypersd.hpp"
expect 'no SPDX line' "printf '#pragma once\n' >core/shape.hpp"
expect 'no #pragma once' "printf '// SPDX-License-Identifier: Apache-2.0\n' >core/shape.hpp"
expect 'at most 400' "for i in {1..400}; do echo >>core/shape.hpp; done"
expect 'macro other than' "printf '#ifdef HYPERSD_FAST\n#endif\n' >>core/shape.hpp"
expect 'launch or wait outside' "printf '// kernel<<<1, 1>>>();\n' >>ops/cuda/map.cuh"
expect 'launch or wait outside' "printf '// cudaDeviceSynchronize();\n' >>ops/cuda/map.cuh"
expect 'left behind' "printf '// TO''DO\n' >>core/shape.hpp"
expect 'gone.hpp does not exist' "printf 'see \`gone.hpp\`\n' >../../README.md"
expect 'link to nowhere.md' "printf '[x](nowhere.md)\n' >../../README.md"
expect 'no heading #nothing in README.md' "printf '# Some thing\n[x](#some-thing) [y](#nothing)\n' >../../README.md"
expect 'Unheard_of is in no header' "printf 'see \`nn::Unheard_of\`\n' >../../README.md"
expect 'lost.md: no link' "mkdir ../../docs && printf 'x\n' >../../docs/lost.md"
expect 'custom_policy.cpp: 61 lines' "mkdir ../../examples && for i in {1..61}; do echo '// SPDX-License-Identifier: Apache-2.0'; done >../../examples/custom_policy.cpp"
expect 'own_process has 0 lines' "mkdir -p ../../docs/how_to && printf '# Own process\n' >../../docs/how_to/own_process.md"
exit $failed
