#!/usr/bin/env bash
# Everything that only an NVIDIA GPU can show, on the one at hand: the tests on the device; the kernels' tests under
# compute-sanitizer; every kernel's rate; the training step beside PyTorch's; training on real images. Logs and JSON go
# to a folder. Parts fail by themselves; the last lines say which did.
#
#   tools/check_gpu.sh [--build build/cuda] [--out build/gpu] [--torch python3] [tests|sanitize|kernels|steps|train ...]
#
# Without parts, all of them. CYTOGRAD_SAMPLES=<folder> has the real images; `--torch` a Python with PyTorch.
set -uo pipefail
cd "$(dirname "$0")/.."

build=build/cuda
out=build/gpu
torch=python3
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --torch) torch=$2; shift 2 ;;
    tests | sanitize | kernels | steps | train) parts+=("$1"); shift ;;
    *) echo "check_gpu.sh: unknown part or option $1" >&2; exit 2 ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(tests sanitize kernels steps train)
mkdir -p "$out"
if [ ! -x "$build/cytograd" ]; then
  cmake --preset cuda >"$out/build.log" && cmake --build --preset cuda >>"$out/build.log" || exit 1
fi

failed=()
# step NAME SECONDS COMMAND...: runs it, with a log of its own.
step() {
  local name=$1 limit=$2 start=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  [ $status -eq 0 ] || failed+=("$name")
  echo "$name: exit $status, $((SECONDS - start)) s"
}

run_tests() {
  local test
  for test in "$build"/tests/*_test; do step "$(basename "$test")" 900 "$test" --gtest_brief=1; done
}

# Of this project's kernels. racecheck cannot follow cuDNN's and cuBLAS's on every GPU and fails in them: tests that call
# those are left out there. Errors of the API are asked for by a test of captured work.
run_sanitizers() {
  local tool test name filter
  for tool in memcheck racecheck; do
    for test in "$build"/tests/*_cuda_test; do
      name=$(basename "$test")
      filter='*'
      case $tool-$name in
        *-train_cuda_test) continue ;;  # runs the binary
        racecheck-op_cuda_test) filter='-*conv2d*:*linear*' ;;
        racecheck-channel_sums_cuda_test) filter='-*BothMethods*:*BlackAndWhite*' ;;
      esac
      step "$tool-$name" 1800 compute-sanitizer --tool $tool --report-api-errors no --error-exitcode 9 \
        --kernel-name regex=cytograd "$test" --gtest_brief=1 --gtest_filter="$filter"
    done
  done
}

run_kernels() {
  local bench
  for bench in batchnorm_act channel_sums conv2d elementwise linear optimizer pool preprocess softmax_cross_entropy; do
    step "$bench" 1800 "$build/${bench}_bench" --benchmark_filter=/cuda/ --benchmark_out_format=json \
      --benchmark_out="$out/$bench.json"
  done
}

run_steps() {
  local configs=() shape dtype
  for shape in resnet50:224:256 resnet18:512:64 resnet50:512:64; do
    for dtype in bf16 f16; do configs+=(--config "$shape:$dtype:cuda"); done
  done
  step train_step 7200 python3 bench/compare_train_step.py --ours "$build/train_step_bench" --torch "$torch" \
    "${configs[@]}" --json "$out/train_step.json"
}

run_training() {
  local samples=${CYTOGRAD_SAMPLES:?train needs the folder of real images} work
  work=$(mktemp -d)
  step pack 600 "$build/cytograd" pack --data "$samples/mitocheck" --out "$work/pack"
  local device
  for device in cpu cuda; do
    step "mitocheck-$device" 3600 "$build/cytograd" train --data "$work/pack" --out "$work/$device" --model resnet18 \
      --epochs 30 --batch 64 --lr 0.1 --label-smoothing 0.1 --device "$device"
  done
  step rxrx1-cuda 3600 "$build/cytograd" train --data "$samples/rxrx1" --label cell_type --crop 128 \
    --out "$work/rxrx1" --model resnet18 --epochs 10 --batch 8 --max-missing 1 --device cuda
  cp "$work"/*/metrics.csv "$out/" 2>/dev/null
  rm -rf "$work"
}

for part in "${parts[@]}"; do
  case $part in
    tests) run_tests ;;
    sanitize) run_sanitizers ;;
    kernels) run_kernels ;;
    steps) run_steps ;;
    train) run_training ;;
  esac
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; see $out"
  exit 1
fi
echo "all passed; figures are in $out"
