#!/usr/bin/env bash
# Builds cytograd and runs every check this machine can run: format; the tests; the tests under AddressSanitizer and
# UndefinedBehaviorSanitizer with the CUDA backend on the emulator; where there is a CUDA toolkit, the CUDA build (its
# tests too, where there is a GPU); clang-tidy. Real images: CYTOGRAD_SAMPLES=<folder>, else the tests that need them are
# skipped by name. So are format and clang-tidy without version 14 of their programs: others format and warn otherwise.
set -euo pipefail
if [ -n "${CYTOGRAD_SAMPLES:-}" ]; then
  CYTOGRAD_SAMPLES=$(realpath "$CYTOGRAD_SAMPLES")
  export CYTOGRAD_SAMPLES
fi
cd "$(dirname "$0")/.."

tools/setup.sh

skipped=
has_version_14() {
  local version
  version=$("$1" --version | grep -Eo 'version [0-9.]+')
  [[ $version != "version 14."* ]] || return 0
  echo "skipped: this is $1 $version, not 14"
  skipped="$skipped $1"
  return 1
}

echo "== format"
if has_version_14 clang-format; then
  git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
fi
# clang-format leaves comments as they are.
git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs awk 'length > 120 { print FILENAME ":" FNR ": is longer than 120"; n++ }
  END { exit n > 0 }'

for preset in release emulate; do
  echo "== $preset"
  cmake --preset "$preset" -DCYTOGRAD_WERROR=ON >/dev/null
  cmake --build --preset "$preset"
  ctest --preset "$preset" --parallel "$(nproc)"
done

PATH=$PATH:/usr/local/cuda/bin
if command -v nvcc >/dev/null; then
  echo "== cuda"
  if [ -e /proc/driver/nvidia/gpus ]; then
    cmake --preset cuda -DCYTOGRAD_WERROR=ON >/dev/null
    cmake --build --preset cuda
    ctest --preset cuda
  else
    # It must compile and link; the kernels are read, not run. One architecture is enough for that.
    cmake --preset cuda -DCYTOGRAD_WERROR=ON -DCMAKE_CUDA_ARCHITECTURES=90-real >/dev/null
    cmake --build --preset cuda --target cytograd devices_cuda_test batchnorm_act_bench channel_sums_bench \
      preprocess_bench
    ctest --preset cuda --tests-regex 'kernel_report|devices_cuda_test'
  fi
fi

echo "== clang-tidy"
if has_version_14 clang-tidy; then
  git ls-files 'kernels/*.cpp' 'engine/*.cpp' 'models/*.cpp' 'data/*.cpp' 'tools/*.cpp' 'bench/*.cpp' |
    grep -Ev '/(cuda_timer_none|runtime_cuda|libraries_cuda|cudnn|cublaslt|[a-z0-9_]*_cudnn|[a-z0-9_]*_cublas)\.cpp$' |  # not in that build
    xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/emulate --extra-arg=-Wno-unknown-warning-option
fi

echo "all checks passed${skipped:+, not run:$skipped}"
