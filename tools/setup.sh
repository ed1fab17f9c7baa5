#!/usr/bin/env bash
# Installs what building and testing cytograd needs and this machine lacks: Debian packages and, where there is a CUDA
# toolkit, into build/packages, what NVIDIA gives as Python packages only.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ cmake ninja-build ccache git                # building
  libdnnl-dev ocl-icd-opencl-dev                  # the engine; oneDNN's CMake package asks for OpenCL
  libfmt-dev nlohmann-json3-dev
  libboost-context-dev                            # the emulator of a GPU
  libstb-dev libtiff-dev libdeflate-dev libturbojpeg0-dev   # images
  libcli11-dev zlib1g-dev                         # command line; checksums to test against
  libeigen3-dev                                   # eigenvectors of small matrices
  libgtest-dev libgmock-dev libbenchmark-dev      # tests and benchmarks
  clang-format clang-tidy clang                   # checks; clang for its OpenMP header
  libomp-dev python3 python3-scipy                # the significance of a change between benchmarks
)

has_cuda() { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; }
if has_cuda; then packages+=(python3-pip); fi

install_packages() {
  local missing=() package status
  if command -v dpkg-query >/dev/null; then
    for package in "${packages[@]}"; do
      status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
      [ "$status" = "install ok installed" ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
  fi

  if ! command -v apt-get >/dev/null; then
    # Another distribution: CMake says what is missing.
    echo "cytograd needs these packages, by their Debian names; where the build fails, install what it lacks:" >&2
    printf '  %s\n' "${packages[@]}" >&2
    return 0
  fi

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "these packages are missing; install them as root and try again: ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# cuDNN's C++ headers, and the disassembler that the tests of compiled kernels read.
install_cuda_packages() {
  local wheels=(nvidia-cudnn-frontend==1.32.0 nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51)
  local folder=build/packages
  [ "$(cat $folder/installed 2>/dev/null)" != "${wheels[*]}" ] || return 0
  echo "fetching ${wheels[*]}" >&2
  rm -rf $folder
  mkdir -p $folder/wheels
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest $folder/wheels "${wheels[@]}" >&2
  for wheel in $folder/wheels/*.whl; do python3 -m zipfile -e "$wheel" $folder/unpacked; done
  mv $folder/unpacked/include $folder/include
  mv $folder/unpacked/nvidia/cu13/bin $folder/bin
  chmod +x $folder/bin/*
  rm -r $folder/wheels $folder/unpacked
  echo "${wheels[*]}" >$folder/installed
}

install_packages
if has_cuda; then install_cuda_packages; fi
