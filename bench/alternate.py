"""Runs a benchmark of two builds in turn, so that a slow minute of the machine meets both, and writes a file of each for
report.py --compare, which then tests the rounds in pairs.

    python3 alternate.py old/build/elementwise_bench build/release/elementwise_bench --out-before before.json
        --out-after after.json [--rounds 20] -- --benchmark_filter=relu
    python3 report.py --compare before.json after.json

What follows -- goes to the programs. A round is one repetition of each, in a process of its own; the files are written
after every round.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import machine


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="the program of the one build")
    parser.add_argument("after", help="the program of the other")
    parser.add_argument("--out-before", required=True, metavar="FILE")
    parser.add_argument("--out-after", required=True, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s")
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    args = parser.parse_args(ours)
    if args.rounds < 1:
        parser.error("--rounds wants a number from 1")
    outs = [Path(out).resolve() for out in (args.out_before, args.out_after)]
    if outs[0] == outs[1]:
        parser.error("--out-before and --out-after are one file")
    for out in outs:
        if not out.parent.is_dir():
            parser.error(f"{out.parent} is no folder")
        if out.is_dir():
            parser.error(f"{out} is a folder")
    args.rest = arguments[len(ours) + 1 :]
    return args


def run(program, rest):
    """One repetition, as Google Benchmark's JSON."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.json"
        own = ["--benchmark_repetitions=1", f"--benchmark_out={file}", "--benchmark_out_format=json"]
        command = [str(Path(program).resolve()), *rest, *own]
        try:
            result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            sys.exit(f"alternate.py: error: {program}: {error.strerror}")
        lines = result.stderr.strip().splitlines()
        if result.returncode != 0:
            sys.exit(f"alternate.py: error: {program}: exit code {result.returncode}{': ' + lines[-1] if lines else ''}")
        try:
            result = json.loads(file.read_text())
            return {"context": dict(result["context"]), "benchmarks": list(result["benchmarks"])}
        except (OSError, ValueError, KeyError, TypeError):
            sys.exit(f"alternate.py: error: {program} wrote no results{': ' + lines[-1] if lines else ''}")


def add_round(whole, one, number):
    for entry in one["benchmarks"]:
        entry["repetition_index"] = number
    if whole is None:
        return one
    whole["benchmarks"] += one["benchmarks"]
    return whole


def main(arguments):
    args = parse(arguments)
    pair = str(uuid.uuid4())
    builds = [[args.before, args.out_before, None], [args.after, args.out_after, None]]
    for number in range(args.rounds):
        results = {}
        for build in builds if number % 2 == 0 else reversed(builds):
            results[id(build)] = run(build[0], args.rest)
        for build in builds:
            build[2] = add_round(build[2], results[id(build)], number)
            build[2]["context"]["alternated"] = pair
            machine.write_json(build[1], build[2])
        print(f"round {number + 1} of {args.rounds}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
