#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Python peers (torch, diffusers) into a virtual environment of their own.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: bash bench/peers/setup.sh VENV_DIR

Creates VENV_DIR (kept when it is there already), and installs the versions of
requirements.txt into it. torch comes from PyTorch's CPU index where that can be
reached; else from PyPI, with the libraries its wheel links against (about 2.5 GB
of download, 4.5 GB on disk). A second call does nothing.

environment: PYTHON (default python3), HYPERSD_TORCH_INDEX (default
https://download.pytorch.org/whl/cpu; empty: PyPI only)
EOF
}

if [[ $# -ne 1 || $1 == -h || $1 == --help ]]; then
  usage
  [[ ${1:-} == -h || ${1:-} == --help ]] && exit 0 || exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$1
python=${PYTHON:-python3}
index=${HYPERSD_TORCH_INDEX-https://download.pytorch.org/whl/cpu}
say() { printf 'peers: %s\n' "$*"; }

works() {
  "$venv/bin/python" - <<'EOF'
import torch, numpy, scipy, safetensors.torch
from diffusers import DDIMScheduler, TCDScheduler, UNet2DConditionModel
assert torch.ones(2).sum() == 2
print(f"peers: torch {torch.__version__} works")
EOF
}

stamp=$venv/.hypersd-peers
wanted=$(cat "$here"/requirements*.txt | sha256sum | cut -d' ' -f1)
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && works; then
  say "up to date: $venv"
  exit 0
fi

command -v "$python" >/dev/null || { say "no $python; apt-get install python3 python3-venv"; exit 2; }
if [[ ! -x $venv/bin/python ]]; then
  say "creating $venv"
  "$python" -m venv "$venv" || { say "cannot create it; apt-get install python3-venv"; exit 2; }
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

torch=$(grep '^torch==' "$here/requirements.txt")
have=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null || true)
if [[ ${have%%+*} == "${torch#torch==}" ]]; then
  say "$torch is there"
else
  say "installing $torch"
  if [[ -n $index ]] && pip --retries 0 --timeout 15 install -q --no-deps --index-url "$index" "$torch" 2>/dev/null; then
    say "  from $index"
  else
    say "  from PyPI (the CPU index did not answer)"
    pip install -q --no-deps "$torch"
  fi
fi

say "installing requirements.txt"
pip install -q --no-deps -r "$here/requirements.txt"

if ls "$venv"/lib/python*/site-packages/torch/lib/libtorch_cuda.so >/dev/null 2>&1; then
  say "this torch is a CUDA build: installing requirements-cuda.txt"
  pip install -q --no-deps -r "$here/requirements-cuda.txt"
fi

works
printf '%s' "$wanted" >"$stamp"
say "ready: $venv"
