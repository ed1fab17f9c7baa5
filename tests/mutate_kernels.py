"""Proves that the emulated tests notice what is missing: takes each barrier of the kernels away in turn, and moves each
bound of a tail by one, and runs the tests, which must fail.

    python3 tests/mutate_kernels.py [--kernels softmax_cross_entropy] [--jobs 2]

Works in a copy of the sources under build/mutants. Prints a table of the mutants; exits with 1 where one survives.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutants" / "source"
BUILD = ROOT / "build" / "mutants" / "build"

# `// not needed for the result: ...` beside a barrier or bound excuses it, with the reason.
EXCUSE = "mutation:"


def mutants(text):
    """(line number, what, new text) of each mutant of a file."""
    lines = text.splitlines(keepends=True)
    for i, line in enumerate(lines):
        code = line.split("//")[0]
        if EXCUSE in line:
            continue
        for match in re.finditer(r"__sync(threads|warp)\(\w*\);", code):
            yield i + 1, match.group(), "".join(lines[:i] + [line.replace(match.group(), ";", 1)] + lines[i + 1 :])
        # The bound of a loop or a guard over elements: `i < count` becomes `i <= count`.
        for match in re.finditer(r"(?<!<) < (?=[\w.]*(count|rows|classes|columns|channels|elements|packs|chunks|end|width|height)\b)", code):
            changed = line[: match.start()] + " <= " + line[match.end() :]
            yield i + 1, code.strip(), "".join(lines[:i] + [changed] + lines[i + 1 :])


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", nargs="*", default=[], help="families; default: all")
    parser.add_argument("--jobs", default="2")
    args = parser.parse_args()

    if COPY.exists():
        shutil.rmtree(COPY)
    ignore = shutil.ignore_patterns("build", ".git")
    shutil.copytree(ROOT, COPY, ignore=ignore)
    # Without sanitizers: what the emulator itself sees has to do.
    configured = run(["cmake", "-S", str(COPY), "-B", str(BUILD), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                      "-DCYTOGRAD_CUDA=EMULATE"])
    if configured.returncode != 0:
        sys.exit(configured.stdout)
    tests = sorted(path.stem for path in (COPY / "tests").glob("*_cuda_test.cpp"))
    build = ["ninja", "-C", str(BUILD), "-j", args.jobs, *tests]
    test = ["ctest", "--test-dir", str(BUILD), "--tests-regex", "^(" + "|".join(tests) + ")$", "--parallel", args.jobs,
            "--stop-on-failure"]
    first = run(build)
    if first.returncode != 0 or run(test).returncode != 0:
        sys.exit(first.stdout[-2000:] + "\nthe tests fail without a mutant")

    survivors = 0
    files = [path for path in sorted((COPY / "kernels").glob("*.cu*"))
             if not args.kernels or path.stem in args.kernels]
    for path in files:
        original = path.read_text()
        for line, what, changed in mutants(original):
            path.write_text(changed)
            built = run(build)
            outcome = "does not compile" if built.returncode != 0 else "caught" if run(test).returncode != 0 else "SURVIVES"
            survivors += outcome != "caught"
            print(f"| {path.name}:{line} | `{what}` | {outcome} |", flush=True)
        path.write_text(original)
    print(f"{survivors} survive")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
