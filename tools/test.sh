#!/usr/bin/env bash
# Builds cytograd and runs every check this machine can run: format, the tests, the tests under AddressSanitizer and
# UndefinedBehaviorSanitizer, clang-tidy. Real images: CYTOGRAD_SAMPLES=<folder>, else the tests that need them are
# skipped by name.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh

echo "== format"
git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror

for preset in release debug; do
  echo "== $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset"
  ctest --preset "$preset" --parallel "$(nproc)"
done

echo "== clang-tidy"
git ls-files 'engine/*.cpp' 'models/*.cpp' 'data/*.cpp' 'tools/*.cpp' 'bench/*.cpp' |
  xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/release --extra-arg=-Wno-unknown-warning-option

echo "all checks passed"
