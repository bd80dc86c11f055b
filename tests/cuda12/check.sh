#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh ROOT FOLDER [FLAG...]: every CUDA file of tests and benchmarks compiles with CUDA 12 too, without a
# warning. The toolkit is that of CUDA12_HOME or /usr/local/cuda-12*, with its nvcc; else clang 16 or newer as CUDA
# compiler over headers that HYPERSD_CUDA12_DOWNLOAD=1 fetches from PyPI into FOLDER. Exit code 77: CUDA 12 is not available.
set -u
root=$1 folder=$2
shift 2
mkdir -p "$folder"
flags=(-std=c++20 -I"$root/include" -I"$root/tests" -I"$root/examples" -DHYPERSD_TEST_DATA='"x"' "$@")

toolkit=''
for candidate in "${CUDA12_HOME:-}" /usr/local/cuda-12*; do
  [ -n "$candidate" ] && [ -e "$candidate/include/cuda_runtime.h" ] || continue
  ! grep -q 'define CUDA_VERSION 12' "$candidate/include/cuda.h" || toolkit=$candidate
done

# fetch: the headers of CUDA 12.5, the newest that clang 19 knows. The headers of cuBLAS are 600 kB of a wheel of 360 MB:
# those of the newer toolkit do, since only what they include differs; likewise cuDNN's.
fetch() {
  local wheels=$folder/wheels home=$folder/home wheel
  mkdir -p "$wheels" "$home"
  python3 -m pip download -q --no-deps -d "$wheels" nvidia-cuda-runtime-cu12==12.5.82 nvidia-cuda-nvcc-cu12==12.5.82 \
    nvidia-cuda-cccl-cu12==12.5.39.post1 || return 1
  for wheel in "$wheels"/*.whl; do
    python3 - "$wheel" "$home" <<'PYTHON' || return 1
import pathlib, sys, zipfile

home = pathlib.Path(sys.argv[2])
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        parts = pathlib.PurePosixPath(name).parts
        if len(parts) > 2 and parts[2] in ("include", "bin", "nvvm") and not name.endswith(("/", ".py")):
            to = home.joinpath(*parts[2:])
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(wheel.read(name))
PYTHON
  done
  chmod +x "$home"/bin/*
  toolkit=$home
}
[ -n "$toolkit" ] || [ "${HYPERSD_CUDA12_DOWNLOAD:-0}" != 1 ] || fetch ||
  echo 'the headers of CUDA 12 could not be fetched'
[ -n "$toolkit" ] || { echo 'no CUDA 12 here: set CUDA12_HOME, or HYPERSD_CUDA12_DOWNLOAD=1'; exit 77; }

if [ -x "$toolkit/bin/nvcc" ]; then
  compiler=("$toolkit/bin/nvcc" -x cu -arch=sm_80 -Xcompiler=-fsyntax-only -Werror all-warnings -c -o /dev/null)
else
  for name in clang++-19 clang++-18 clang++-17 clang++-16; do command -v $name >/dev/null && break; done
  command -v "$name" >/dev/null || { echo "no nvcc in $toolkit, and no clang 16 or newer"; exit 77; }
  compiler=("$name" -x cuda "--cuda-path=$toolkit" --cuda-gpu-arch=sm_80 -fsyntax-only -Wall -Wextra -Wpedantic
    -Wconversion -Wshadow -Werror -Wno-unknown-cuda-version)
  if [ ! -e "$toolkit/include/cublasLt.h" ]; then
    newer=$(dirname "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")/../include
    [ -e "$newer/cublasLt.h" ] || { echo "no cublasLt.h in $toolkit nor in $newer"; exit 77; }
    mkdir -p "$folder/cublas"
    cp "$newer"/cublas*.h "$folder/cublas"
    [ ! -e "$newer/cudnn.h" ] || cp "$newer"/cudnn*.h "$folder/cublas"
    flags+=(-isystem "$folder/cublas")
  fi
fi
grep -h 'define CUDA_VERSION' "$toolkit/include/cuda.h"
"${compiler[0]}" --version | head -n 1

failed=0
for source in "$root"/tests/cuda/*.cu "$root"/bench/gpu/*.cu; do
  if grep -q cudnn "$source" && ! [ -e "$folder/cublas/cudnn.h" ] && ! [ -e "$toolkit/include/cudnn.h" ]; then
    echo "left out, without cuDNN: $source"
    continue
  fi
  if ! "${compiler[@]}" "${flags[@]}" "$source" >"$folder/log" 2>&1; then
    echo "failed: $source"
    grep -E 'error|warning' "$folder/log" | head -n 5
    failed=1
  fi
done
exit $failed
