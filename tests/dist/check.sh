#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh curves|faults PROGRAM WORK MPIRUN -n 2: what mpi_training gives on two processes.
# check.sh nccl PROGRAM WORK MPIRUN -n N: nccl_ranks.
set -eu
what=$1 program=$2 work=$3
shift 3
launch=("$@" "$program")
rm -rf "$work"
mkdir -p "$work"
cd "$work"

# For Open MPI: a container's root user, fewer processors than ranks, and no remote shell.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_plm_rsh_agent=sh OMPI_MCA_btl_vader_single_copy_mechanism=none
# Memory that MPI libraries keep until the end is not a leak of this library.
export ASAN_OPTIONS=detect_leaks=0

# fails MESSAGE COMMAND...: the command fails within the time limit and prints MESSAGE.
fails() {
  local message=$1 said code=0
  shift
  said=$(timeout 200 "$@" 2>&1) || code=$?
  printf '%s\n' "$said"
  if [ $code -eq 0 ] || [ $code -eq 124 ]; then
    echo "exit code $code"
    return 1
  fi
  grep -qE -- "$message" <<<"$said" || { echo "does not say: $message"; return 1; }
}

case $what in
  curves)
    "$program" train one
    "${launch[@]}" reduce
    "${launch[@]}" train two
    "$program" compare one two
    "${launch[@]}" train again  # the same number of processes: the same bits
    for file in $(cd two && find . -name '*.csv' -o -name '*.safetensors'); do cmp "two/$file" "again/$file"; done
    ;;
  faults)
    "$program" train one
    for how in throw kill; do
      if [ $how = throw ]; then message="rank 1 of 2( failed)?: phase 'teacher', rank 1 of 2, step 14 of 24: the data of this rank are gone"
      else message='rank 1 .*on signal 9|KILLED BY SIGNAL: 9'; fi
      fails "$message" "${launch[@]}" train $how $how 1 13
      "$program" checkpoint $how/state/teacher.safetensors | grep -x 'teacher 10'
      "$program" train $how  # one process goes on
      "$program" compare one $how
    done
    # The reverse: one process starts, two resume.
    fails 'the data of this rank are gone' "$program" train grown throw 0 1007
    "${launch[@]}" train grown
    "$program" compare one grown
    ;;
  nccl)
    for part in reduce train curve faults; do timeout 100 "${launch[@]}" $part "${@: -1}"; done
    ;;
esac
