#!/usr/bin/env bash
# Packs what tools/check_gpu.sh needs into one archive, for a machine that has a GPU, CUDA's libraries (or PyTorch, which
# brings them) and Python, but nothing to build with and no network:
#
#   tools/bundle_gpu_check.sh [--build build/cuda] [--samples FOLDER] cytograd-gpu.tar.zst
#   there: tar --zstd -xf cytograd-gpu.tar.zst && cytograd-gpu/tools/check_gpu.sh
#
# A name that ends in .xz takes minutes to make and is a quarter smaller; Python unpacks it where there is no zstd:
# python3 -m tarfile -e cytograd-gpu.tar.xz. (Executables share most of their code, which takes a large window to see.)
# The build is brought up to date first. Executables are stripped; libraries of the system that they need come with them,
# but for CUDA's, glibc's and the compiler's own, which the machine must have no older than this one's.
# `--samples`: the folder of real images, as CYTOGRAD_SAMPLES names it, for the part `train`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/cuda
samples=
archive=
wrong() { echo "bundle_gpu_check.sh: $1" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in --*) [ $# -gt 1 ] || wrong "what does $1 take?" ;; esac
  case $1 in
    --build) build=$(realpath -m -- "$2"); shift 2 ;;
    --samples) samples=$(realpath -m -- "$2"); shift 2 ;;
    -*) wrong "unknown option $1" ;;
    *) [ -z "$archive" ] || wrong "one archive, not $archive and $1"; archive=$1; shift ;;
  esac
done
[ -n "$archive" ] || wrong "which archive?"
[ -z "$samples" ] || [ -d "$samples" ] || wrong "$samples is no folder"
[ -f "$build/CMakeCache.txt" ] || wrong "$build is no build: cmake --preset cuda"
cmake --build "$build" >&2
ldd "$build/cytograd" | grep libcudnn >/dev/null || wrong "$build is not built with CUDA"

mkdir -p "$(dirname "$archive")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/cytograd-gpu
mkdir -p "$bundle"/{tools,bench,tests} "$bundle"/build/cuda/{tests,lib}
cp "$root/tools/check_gpu.sh" "$bundle/tools/"
cp -r "$root"/bench/*.py "$root/bench/peers" "$root/bench/reporting" "$bundle/bench/"
cp -r "$root/tests/golden" "$bundle/tests/"
[ -z "$samples" ] || cp -r "$samples" "$bundle/samples"

for program in "$build/cytograd" "$build"/*_bench; do
  strip -o "$bundle/build/cuda/$(basename "$program")" "$program"
done
for test in "$build"/tests/*_test; do
  [ -f "$root/tests/$(basename "$test").cpp" ] || continue  # of a source that is no more
  strip -o "$bundle/build/cuda/tests/$(basename "$test")" "$test"
done
machines='libc|libm|libmvec|librt|libdl|libpthread|libresolv|libstdc\+\+|libgcc_s'
cudas='libcuda|libcudart|libcublas|libcublasLt|libcudnn[a-z_]*|libnvrtc|libnvJitLink|libnccl'
needed=$(ldd "$build/cytograd" "$build"/*_bench "$build"/tests/*_test |
  awk '$2 == "=>" { print $3 != "not" ? $3 : $1 }' | sort -u | { grep -v -E "(^|/)($machines|$cudas)\.so" || true; })
for library in $needed; do
  [ -f "$library" ] || wrong "$library is needed, and not here"
  cp -L "$library" "$bundle/build/cuda/lib/"
done

case $archive in
  *.xz) compress=(xz -T0 --lzma2=preset=6,dict=64MiB) ;;
  *) compress=(zstd -q --long=27 -15 -T0) ;;
esac
tar -C "$work" -c cytograd-gpu | "${compress[@]}" >"$archive.part"
mv "$archive.part" "$archive"
echo "$archive: $(du -h "$archive" | cut -f1), commit $(git -C "$root" describe --always --dirty --abbrev=12)"
