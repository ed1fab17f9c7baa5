#!/usr/bin/env bash
# From nothing to a trained classifier: builds cytograd, looks at a folder of images, trains on it, evaluates and
# predicts. Without a folder it makes a synthetic cell-painting dataset first.
#
#   tools/demo.sh [FOLDER [OUT]]
#
# OUT, build/demo unless given, gets run/, figures.json, predictions.csv and, without a FOLDER, cells/.
set -euo pipefail
data=${1:+$(realpath -e "$1")}
out=${2:+$(realpath -m "$2")}
cd "$(dirname "$0")/.."

# In build/demo it replaces what it made before; elsewhere nothing.
made=(run figures.json predictions.csv)
[ -n "$data" ] || made+=(cells)
if [ -n "$out" ]; then
  for name in "${made[@]}"; do
    if [ -e "$out/$name" ]; then
      echo "$out/$name is there already; name another folder, or remove it" >&2
      exit 1
    fi
  done
fi

tools/setup.sh
cmake --preset release -DCYTOGRAD_TESTS=OFF -DCYTOGRAD_BENCH=OFF -B build/demo-release >/dev/null
cmake --build build/demo-release
cytograd=build/demo-release/cytograd

step() {
  echo
  echo "\$ cytograd $*"
  "$cytograd" "$@"
}

if [ -z "$out" ]; then
  out=build/demo
  rm -rf "${made[@]/#/$out/}"
fi
mkdir -p "$out"
if [ -z "$data" ]; then
  data=$out/cells
  step synth --out "$data" --experiments 5 --plates 2 --wells 41 --classes 8 --size 128
  step inspect --data "$data"
  step train --data "$data" --out "$out/run" --model small --shrink 2 --epochs 15
  step eval --model "$out/run" --data "$data" --where split=test --json "$out/figures.json"
  step predict --model "$out/run" --out "$out/predictions.csv" "$data" --where split=test
else
  step inspect --data "$data"
  step train --data "$data" --out "$out/run" --model small --epochs 15
  step eval --model "$out/run" --data "$data" --json "$out/figures.json"
  step predict --model "$out/run" --out "$out/predictions.csv" "$data"
fi
echo
echo "predictions: $out/predictions.csv, figures: $out/figures.json, the run: $out/run"
