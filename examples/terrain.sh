#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs the terrain program; every option goes to it (see --help). Its file of weights
# is written by examples/terrain/convert.py, whose head says how.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh
hypersd_example hypersd_terrain "$here" "$@"
