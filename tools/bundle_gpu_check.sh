#!/usr/bin/env bash
# Packs what tools/check_gpu.sh needs into one archive, for a machine that has a GPU, CUDA's libraries (or PyTorch, which
# brings them) and Python, but nothing to build with and no network:
#
#   tools/bundle_gpu_check.sh [--build build/cuda] [--samples FOLDER] cytograd-gpu.tar.zst
#   there: tar --zstd -xf cytograd-gpu.tar.zst && cytograd-gpu/tools/check_gpu.sh
#
# A name that ends in .xz takes minutes to make and is a quarter smaller; Python unpacks it where there is no zstd:
# python3 -m tarfile -e cytograd-gpu.tar.xz. (Executables share most of their code, which takes a large window to see.)
# Executables are stripped; libraries of the system that they need come with them, but for glibc's and CUDA's.
# `--samples`: the folder of real images, as CYTOGRAD_SAMPLES names it, for the part `train`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/cuda
samples=
archive=
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$(cd "$2" && pwd); shift 2 ;;
    --samples) samples=$(cd "$2" && pwd); shift 2 ;;
    -*) echo "bundle_gpu_check.sh: unknown option $1" >&2; exit 2 ;;
    *) archive=$1; shift ;;
  esac
done
[ -n "$archive" ] || { echo "bundle_gpu_check.sh: which archive?" >&2; exit 2; }
[ -x "$build/cytograd" ] || { echo "$build has no cytograd: cmake --build --preset cuda" >&2; exit 1; }

mkdir -p "$(dirname "$archive")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/cytograd-gpu
mkdir -p "$bundle"/{tools,bench,tests} "$bundle"/build/cuda/{tests,lib}
cp "$root/tools/check_gpu.sh" "$bundle/tools/"
cp -r "$root"/bench/*.py "$root/bench/peers" "$root/bench/reporting" "$bundle/bench/"
cp -r "$root/tests/golden" "$bundle/tests/"
(cd "$root/bench" && python3 -c 'import machine; print(machine.commit())') >"$bundle/COMMIT"
[ -z "$samples" ] || cp -r "$samples" "$bundle/samples"

for program in "$build/cytograd" "$build"/*_bench; do
  strip -o "$bundle/build/cuda/$(basename "$program")" "$program"
done
for test in "$build"/tests/*_test; do
  strip -o "$bundle/build/cuda/tests/$(basename "$test")" "$test"
done
# Of the whole closure: glibc's belong to the machine, and so does what a CUDA installation brings.
ldd "$build/cytograd" "$build"/tests/*_test | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -v -E '/(libc|libm|librt|libdl|libpthread|libresolv|libcu[a-zA-Z]+|libnv[a-zA-Z-]+|libnccl|libstdc\+\+|libgcc_s)\.so' |
  xargs -I{} cp -L {} "$bundle/build/cuda/lib/"

case $archive in
  *.xz) compress=(xz -T0 --lzma2=preset=6,dict=64MiB) ;;
  *) compress=(zstd -q --long=27 -15 -T0) ;;
esac
tar -C "$work" -c cytograd-gpu | "${compress[@]}" >"$archive.part"
mv "$archive.part" "$archive"
echo "$archive: $(du -h "$archive" | cut -f1), commit $(cat "$bundle/COMMIT")"
