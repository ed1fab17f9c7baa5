#!/usr/bin/env bash
# Everything that only an NVIDIA GPU can show, on the one at hand: the tests on the device; the kernels' tests under
# compute-sanitizer; every kernel's rate; the training step beside PyTorch's; training on real images. Logs and JSON go
# to a folder. Parts fail by themselves; the last lines say which did.
#
#   tools/check_gpu.sh [--build build/cuda] [--out build/gpu] [--torch python3] [--only REGEX] [--quick] [--seconds N]
#                      [PART ...]
#
# Parts, without which all but `compile` and `ops` run: tests, sanitize, kernels, steps, train; compile, the steps beside
# torch.compile alone, a configuration a process; ops, each op of a step. `--only`: those tests, benchmarks (by their
# file's name) and configurations (such as resnet50:224:256:bf16:cuda) that the expression matches; `train` runs whole.
# `--quick`: no variants of kernels, three repetitions, one round of steps, and fewer of them. `--seconds`: of all
# together, after which what runs is stopped and the rest is not begun. Folders are relative to the caller's.
# CYTOGRAD_SAMPLES=<folder> has the real images, without which `train` fails; `--torch` is a Python with PyTorch.
# bundle_gpu_check.sh packs all this for a machine that cannot build.
set -uo pipefail
SECONDS=0

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/cuda
out=$root/build/gpu
torch=python3
only=.
seconds=86400
rows=(--benchmark_filter=/cuda/)
rounds=(5 2)  # of steps, of compile
steps=200
parts=()
wrong() { echo "check_gpu.sh: $1" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in --quick) ;; --*) [ $# -gt 1 ] || wrong "what does $1 take?" ;; esac
  case $1 in
    --quick) rows=(--benchmark_filter=/cuda/production --benchmark_repetitions=3); rounds=(1 1); steps=60; shift ;;
    --build) build=$(realpath -m -- "$2"); shift 2 ;;
    --out) out=$(realpath -m -- "$2"); shift 2 ;;
    --torch) torch=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --seconds) [[ $2 =~ ^[1-9][0-9]{0,7}$ ]] || wrong "--seconds $2"; seconds=$2; shift 2 ;;
    tests | sanitize | kernels | steps | compile | ops | train) parts+=("$1"); shift ;;
    *) wrong "unknown part or option $1" ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(tests sanitize kernels steps train)
[[ x =~ $only ]]
[ $? -lt 2 ] || wrong "--only $only is no regular expression"
[ -z "${CYTOGRAD_SAMPLES:-}" ] || export CYTOGRAD_SAMPLES=$(realpath -m -- "$CYTOGRAD_SAMPLES")
case $torch in */*) torch=$(realpath -s -m -- "$torch") ;; esac  # a virtual environment's is a link
mkdir -p "$out" && [ -w "$out" ] || wrong "$out cannot be written to"
cd "$root" || exit 1
if [ ! -x "$build/cytograd" ]; then
  [ "$build" = "$root/build/cuda" ] && [ -f CMakePresets.json ] || wrong "$build has no cytograd"
  cmake --preset cuda >"$out/build.log" && cmake --build --preset cuda >>"$out/build.log" || exit 1
fi

# A bundle has libraries, and the tests' data elsewhere than they were built with. CUDA's come with PyTorch, or are
# installed. Python gets none of them: it has its own.
ours=()
if [ -d "$build/lib" ]; then
  cuda=$("$torch" -c 'import glob, nvidia; print(":".join(glob.glob(list(nvidia.__path__)[0] + "/*/lib")))' 2>/dev/null)
  ours=(env "LD_LIBRARY_PATH=$build/lib${cuda:+:$cuda}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
  export CYTOGRAD_BINARY=$build/cytograd CYTOGRAD_GOLDEN=$root/tests/golden
  [ -n "${CYTOGRAD_SAMPLES:-}" ] || [ ! -d samples ] || export CYTOGRAD_SAMPLES=$root/samples
fi

# Tests skip what needs a GPU where none can be used, and benchmarks have no rows of it.
gpu=$(timeout -k 5 60 "${ours[@]}" "$build/cytograd" devices 2>&1)
[[ $gpu =~ (^|$'\n')cuda\ +([^$'\n']+) && ${BASH_REMATCH[2]} != none* ]] || wrong "no GPU can be used: $gpu"
echo "${BASH_REMATCH[2]}"

failed=()
ran=0
work=$(mktemp -d)
# `timeout` has a process group of its own, which whoever stops this script does not reach.
trap 'jobs -p | xargs -r kill; wait; exit 143' TERM INT HUP
trap 'rm -rf "$work"' EXIT
# step NAME SECONDS COMMAND...: runs it, with a log of its own.
step() {
  local name=$1 limit=$2 start=$SECONDS left=$((seconds - SECONDS)) status
  shift 2
  ran=$((ran + 1))
  if [ $left -le 0 ]; then
    failed+=("$name")
    echo "$name: not begun, $seconds s are over"
    return 1
  fi
  timeout -k 10 $((limit < left ? limit : left)) "$@" >"$out/$name.log" 2>&1 &
  wait $!
  status=$?
  echo "$name: exit $status, $((SECONDS - start)) s"
  [ $status -eq 0 ] && return 0
  failed+=("$name")
  tail -n 12 "$out/$name.log" | cut -c 1-300 | sed 's/^/    /'
  return 1
}

# wanted WORD: whether --only names it, a file by its name.
wanted() { [[ $(basename "$1") =~ $only ]]; }

run_tests() {
  local test
  for test in "$build"/tests/*_test; do
    wanted "$test" && step "$(basename "$test")" 900 "${ours[@]}" "$test" --gtest_brief=1
  done
}

# Of this project's kernels. racecheck cannot follow cuDNN's and cuBLAS's on every GPU and fails in them: tests that call
# those are left out there. Errors of the API are asked for by a test of captured work.
run_sanitizers() {
  local tool test name filter
  for tool in memcheck racecheck; do
    for test in "$build"/tests/*_cuda_test; do
      name=$(basename "$test")
      wanted "$test" || continue
      filter='*'
      case $tool-$name in
        *-train_cuda_test) continue ;;  # runs the binary
        racecheck-op_cuda_test) filter='-*conv2d*:*linear*' ;;
        racecheck-capture_cuda_test) filter='-*EachLaunchReadsTheInputs*' ;;
        racecheck-channel_sums_cuda_test) filter='-*BothMethods*:*BlackAndWhite*' ;;
      esac
      step "$tool-$name" 1800 "${ours[@]}" compute-sanitizer --tool $tool --report-api-errors no --error-exitcode 9 \
        --kernel-name regex=cytograd "$test" --gtest_brief=1 --gtest_filter="$filter"
    done
  done
}

run_kernels() {
  local bench name
  for bench in "$build"/*_bench; do
    name=$(basename "$bench" _bench)
    wanted "$bench" || continue
    [[ $("${ours[@]}" "$bench" --benchmark_list_tests --benchmark_filter=/cuda/ 2>/dev/null) == */cuda/* ]] || continue
    step "$name" 1800 "${ours[@]}" "$bench" "${rows[@]}" --benchmark_out_format=json --benchmark_out="$out/$name.json"
  done
}

configs=({resnet50:224:256,resnet18:512:64,resnet50:512:64}:{bf16,f16}:cuda)

compare_steps() {  # NAME OPTION...
  local name=$1 bench=$work/train_step_bench
  shift
  printf '#!/usr/bin/env bash\nexec %s "$@"\n' "${ours[*]@Q} ${build@Q}/train_step_bench" >"$bench"
  chmod +x "$bench"
  step "$name" 7200 python3 bench/compare_train_step.py --ours "$bench" --torch "$torch" --steps "$steps" \
    --json "$out/$name.json" "$@" && cat "$out/$name.log"
}

run_steps() {
  local chosen=() config
  for config in "${configs[@]}"; do wanted "$config" && chosen+=(--config "$config"); done
  [ ${#chosen[@]} -eq 0 ] || compare_steps train_step --rounds "${rounds[0]}" "${chosen[@]}"
}

# To compile a ResNet-50 takes PyTorch a minute and a half.
run_compile() {
  local config
  for config in "${configs[@]}"; do
    wanted "$config" && compare_steps "compile_${config//:/_}" --compile default --no-autotune --no-inference --rounds "${rounds[1]}" \
      --config "$config"
  done
}

run_ops() {
  local config model size batch dtype device
  for config in "${configs[@]}" resnet18:64:64:bf16:cuda; do
    wanted "$config" || continue
    IFS=: read -r model size batch dtype device <<<"$config"
    step "ops_${config//:/_}" 600 "${ours[@]}" "$build/train_step_bench" --by-op --inputs synthetic --steps "$steps" \
      --model "$model" --size "$size" --batch "$batch" --dtype "$dtype" --device "$device" &&
      grep '^{' "$out/ops_${config//:/_}.log" >"$out/ops_${config//:/_}.json"
  done
}

run_training() {
  local samples=${CYTOGRAD_SAMPLES:-}
  if [ -z "$samples" ]; then
    echo "train: CYTOGRAD_SAMPLES names no folder of real images"
    failed+=(train)
    return
  fi
  step pack 600 "${ours[@]}" "$build/cytograd" pack --data "$samples/mitocheck" --out "$work/pack"
  local device
  for device in cpu cuda; do
    step "mitocheck-$device" 3600 "${ours[@]}" "$build/cytograd" train --data "$work/pack" --out "$work/$device" --model resnet18 \
      --epochs 30 --batch 64 --lr 0.1 --label-smoothing 0.1 --device "$device"
  done
  step rxrx1-cuda 3600 "${ours[@]}" "$build/cytograd" train --data "$samples/rxrx1" --label cell_type --crop 128 \
    --out "$work/rxrx1" --model resnet18 --epochs 10 --batch 8 --max-missing 1 --device cuda
  local run
  for run in cpu cuda rxrx1; do
    [ ! -e "$work/$run/metrics.csv" ] || cp "$work/$run/metrics.csv" "$out/metrics-$run.csv"
  done
}

for part in "${parts[@]}"; do
  case $part in
    tests) run_tests ;;
    sanitize) run_sanitizers ;;
    kernels) run_kernels ;;
    steps) run_steps ;;
    compile) run_compile ;;
    ops) run_ops ;;
    train) run_training ;;
  esac
done
if [ $ran -eq 0 ] && [ ${#failed[@]} -eq 0 ]; then
  echo "nothing ran: --only $only matches none"
  exit 1
fi
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; see $out"
  exit 1
fi
echo "all passed; figures are in $out"
