#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs the experiment on guidance at few steps, on a finished run of the main job;
# every option goes to the program (see --help).
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh
hypersd_example hypersd_guidance "$here" "$@"
