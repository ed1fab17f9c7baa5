"""What nvcc made of the kernels, read from the compiled library with cuobjdump:

- no kernel has a stack or local memory (spilled registers, arrays indexed at run time);
- every kernel that is bound by memory loads and stores 16 bytes at a time.

    python3 kernel_report.py --cuobjdump build/packages/bin/cuobjdump libcytograd_kernels.a
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

# Kernels without an access of 16 bytes, and why.
NARROW = {
    "add_channel_grams_kernel": "one small matrix a chunk, in one block",
    "column_sum_finish_kernel": "partial sums, eight columns a block",
    "finish_moments_kernel": "partial sums, eight channels a block",
    "finish_sums_kernel": "partial sums, eight channels a block",
    "begin_step_kernel": "one sum a chunk, bound by its launch",
    "bias_kernel": "rows of any length, bound by its launch",
    "softmax_kernel": "rows of any length, bound by its launch",
    "softmax_cross_entropy_kernel": "rows of any length, bound by its launch",
    "depth_to_space_kernel": "a weight's gradient, or an input's that is rarely asked for",
    "sum_rows_kernel": "two values a row",
}


def run(tool, option, library):
    path = os.pathsep.join([str(Path(tool).parent), os.environ.get("PATH", "")])
    return subprocess.run(
        [tool, option, library], stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PATH": path}
    ).stdout


def short_name(mangled):
    """The kernel's own name: what ends in _kernel and follows its length."""
    found = mangled
    for match in re.finditer(r"(?=(\d{1,2})([a-z]\w*))", mangled):
        name = match.group(2)[: int(match.group(1))]
        if len(name) == int(match.group(1)) and name.endswith("_kernel"):
            found = name  # the last: digits of the hash before it may happen to fit as well
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuobjdump", default="cuobjdump")
    parser.add_argument("library")
    args = parser.parse_args()

    faults = []
    resources = run(args.cuobjdump, "--dump-resource-usage", args.library)
    usage = re.findall(r"Function (\S+?):\s+REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", resources)
    for name, _, stack, local in usage:
        if int(stack) or int(local):
            faults.append(f"{short_name(name)}: {stack} bytes of stack, {local} bytes of local memory ({name})")

    wide_loads, wide_stores, kernels = set(), set(), set()
    for part in run(args.cuobjdump, "-sass", args.library).split("Function : ")[1:]:
        name = short_name(part.split(None, 1)[0])
        kernels.add(name)
        if "LDG.E.128" in part:
            wide_loads.add(name)
        if "STG.E.128" in part:
            wide_stores.add(name)
    for name in sorted(kernels):
        wide = name in wide_loads or name in wide_stores
        if name in NARROW and wide:
            faults.append(f"{name}: has accesses of 16 bytes now; take it from the list")
        if name not in NARROW and not wide:
            faults.append(f"{name}: no access of 16 bytes")
    print(f"{len(usage)} kernels of {len(kernels)} names, at most {max(int(r) for _, r, _, _ in usage)} registers")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults or not usage else 0)


if __name__ == "__main__":
    main()
