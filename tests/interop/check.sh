#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh LIBRARY [PYTHON]: runs python_arrays.py by the first Python that has NumPy. Exit code 77 if there is none.
set -u
here=$(cd "$(dirname "$0")" && pwd)
for python in ${2:-} ${2:+none} python3 /usr/bin/python3; do
  [ "$python" != none ] || break
  if "$python" -c 'import numpy' 2>/dev/null; then
    exec "$python" "$here/python_arrays.py" "$1"
  fi
done
echo 'no Python with NumPy (Debian: python3-numpy): arrays of NumPy and PyTorch are not tested'
exit 77
