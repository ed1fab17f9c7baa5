#!/usr/bin/env bash
# Installs the Debian packages that building and testing cytograd needs and this machine lacks.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache git                # building
  libdnnl-dev libfmt-dev nlohmann-json3-dev       # the engine
  libstb-dev zlib1g-dev libcli11-dev              # images, command line
  libgtest-dev libgmock-dev libbenchmark-dev      # tests and benchmarks
  clang-format clang-tidy clang                   # checks; clang for its OpenMP header
  libomp-dev
)

missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "cytograd needs these packages, by their Debian names; install them and try again:" >&2
  printf '  %s\n' "${packages[@]}" >&2
  exit 1
fi

as_root=()
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
