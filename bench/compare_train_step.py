"""Runs the training step of cytograd and of PyTorch in turn and prints the ratio of their rates, with its spread.

    python3 compare_train_step.py --ours build/release/train_step_bench --torch python3 --rounds 5 -- --size 64 --batch 64

What follows `--` goes to both. --torch names a Python with PyTorch and may be given several times.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path

PEER = Path(__file__).parent / "peers" / "torch_train_step.py"


def measure(command):
    """The last line of the command's output, as JSON."""
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="build/release/train_step_bench")
    parser.add_argument("--torch", action="append", required=True, help="a Python with PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("arguments", nargs="*", help="for both, after --")
    args = parser.parse_args()

    ours, peers = [], {python: [] for python in args.torch}
    for _ in range(args.rounds):
        ours.append(measure([args.ours, *args.arguments]))
        for python, runs in peers.items():
            runs.append(measure([python, str(PEER), *args.arguments]))
    rate = statistics.median(run["images_per_second"] for run in ours)
    print(f"cytograd {' '.join(args.arguments)}: {rate:.0f} images/s, {ours[0]['threads']} threads")
    for runs in peers.values():
        theirs = statistics.median(run["images_per_second"] for run in runs)
        ratios = sorted(a["images_per_second"] / b["images_per_second"] for a, b in zip(ours, runs))
        print(
            f"PyTorch {runs[0]['torch']}: {theirs:.0f} images/s; cytograd is {statistics.median(ratios):.2f} times as fast "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {args.rounds} rounds)"
        )


if __name__ == "__main__":
    main()
