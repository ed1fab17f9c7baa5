"""Times the RxRx1 colormap in cytograd and in numpy in turn, one thread each, and prints the ratio with its spread.

    python3 compare_colormap.py --ours build/release/fusion_bench --rounds 5            (needs numpy)

The numpy formula is that of tests/golden/make_colormap_golden.py, which the RxRx1 utilities have.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "golden"))
from make_colormap_golden import colormap  # noqa: E402

SIDE = 512


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="build/release/fusion_bench")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    planes = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 6), dtype=np.uint8)
    ours, theirs = [], []
    for _ in range(args.rounds):
        result = subprocess.run([args.ours, "--benchmark_filter=^colormap$", "--benchmark_format=json"], check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ours.append(json.loads(result.stdout)["benchmarks"][0]["real_time"])
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            colormap(planes)
            seconds.append(time.perf_counter() - start)
        theirs.append(1e3 * statistics.median(seconds))
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    print(f"{SIDE} x {SIDE} pixels: cytograd {statistics.median(ours):.2f} ms, numpy {statistics.median(theirs):.1f} ms; "
          f"cytograd is {statistics.median(ratios):.0f} times as fast ({ratios[0]:.0f} to {ratios[-1]:.0f} in "
          f"{args.rounds} rounds)")


if __name__ == "__main__":
    main()
