"""Times read_image and Pillow in turn on every PNG below a folder, one thread each, and prints the ratio.

    python3 compare_decode.py --ours build/release/decode_bench --images RXRX1 --rounds 7      (needs Pillow and numpy)

Files are read once before. Of each round, the median over files, and of five passes over them the median.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image


def pillow(files):
    medians = []
    for _ in range(5):
        seconds = []
        for file in files:
            start = time.perf_counter()
            with Image.open(file) as image:
                np.asarray(image)
            seconds.append(time.perf_counter() - start)
        medians.append(statistics.median(seconds))
    return 1e6 * statistics.median(medians)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="build/release/decode_bench")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    files = sorted(args.images.rglob("*.png"))
    if not files:
        sys.exit(f"compare_decode.py: error: {args.images}: has no PNG")
    for file in files:
        file.read_bytes()
    ours, theirs = [], []
    for _ in range(args.rounds):
        result = subprocess.run([args.ours, str(args.images)], check=True, stdout=subprocess.PIPE, text=True)
        ours.append(float(re.search(r"([\d.]+) us", result.stdout)[1]))
        theirs.append(pillow(files))
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    print(f"{len(files)} files: cytograd {statistics.median(ours):.0f} us a file, "
          f"Pillow {statistics.median(theirs):.0f} us; "
          f"cytograd is {statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f} in "
          f"{args.rounds} rounds)")


if __name__ == "__main__":
    main()
