#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# threads.sh [FOLDER]: thread pool, operations, samplers and trainers under ThreadSanitizer, built in FOLDER (default
# build/tsan).
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-build/tsan}
names=(core ops diffusion distill pipeline)
cmake --preset tsan -B "$folder" >/dev/null
cmake --build "$folder" -j "${JOBS:-$(nproc)}" --target "${names[@]/#/test_}"
ctest --test-dir "$folder" --output-on-failure --no-tests=error -R "^($(IFS='|'; echo "${names[*]}"))\$"
