"""Proves that the emulated tests notice what is missing: takes each barrier of the kernels away in turn, and moves each
bound of a tail by one, and runs the tests, which must fail. What survives is tried again under AddressSanitizer, as
tools/test.sh has it, which sees the first element past an array's end.

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

# `// mutation: ...` beside a barrier or bound excuses it, with the reason.
EXCUSE = "mutation:"

BOUND = (r"(?<!<) < (?=[\w.]*(count|rows|classes|columns|channels|elements|packs|packed|chunks|parts|splits|tiles|pixels|end"
         r"|width|height)\b)")


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
        for match in re.finditer(BOUND, code):
            changed = line[: match.start()] + " <= " + line[match.end() :]
            yield i + 1, code.strip(), "".join(lines[:i] + [changed] + lines[i + 1 :])


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Suite:
    """The emulated tests of the copy, in one build."""

    def __init__(self, name, options, jobs):
        build = COPY / "build" / name
        configured = run(["cmake", "-S", str(COPY), "-B", str(build), "-G", "Ninja", "-DCYTOGRAD_CUDA=EMULATE",
                          *options])
        if configured.returncode != 0:
            sys.exit(configured.stdout)
        tests = sorted(path.stem for path in (COPY / "tests").glob("*_cuda_test.cpp"))
        tests.remove("train_cuda_test")  # whole runs of training would take most of the time
        self.build = ["ninja", "-C", str(build), "-j", jobs, *tests]
        self.test = ["ctest", "--test-dir", str(build), "--tests-regex", "^(" + "|".join(tests) + ")$",
                     "--parallel", jobs, "--stop-on-failure"]
        if self.outcome() != "SURVIVES":
            sys.exit(f"{name}: the tests fail without a mutant")

    def outcome(self):
        if run(self.build).returncode != 0:
            return "does not compile"
        return "caught" if run(self.test).returncode != 0 else "SURVIVES"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", nargs="*", default=[], help="families; default: all")
    parser.add_argument("--jobs", default="2")
    args = parser.parse_args()

    if COPY.exists():
        shutil.rmtree(COPY)
    shutil.copytree(ROOT, COPY, ignore=shutil.ignore_patterns("build", ".git"))
    left = [(path, line, what, changed) for path in sorted((COPY / "kernels").glob("*.cu*"))
            if not args.kernels or path.stem in args.kernels
            for line, what, changed in mutants(path.read_text())]
    suites = {"release": ["-DCMAKE_BUILD_TYPE=Release"],
              "sanitized": ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCYTOGRAD_SANITIZE=ON"]}
    for name, options in suites.items():
        if not left:
            break
        suite = Suite(name, options, args.jobs)
        survivors = []
        for path, line, what, changed in left:
            original = path.read_text()
            path.write_text(changed)
            outcome = suite.outcome()
            path.write_text(original)
            print(f"| {path.name}:{line} | `{what}` | {name} | {outcome} |", flush=True)
            if outcome != "caught":
                survivors.append((path, line, what, changed))
        left = survivors
    print(f"{len(left)} survive")
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
