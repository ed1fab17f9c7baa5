"""Runs the covariance of an image set's channels in cytograd and in scikit-learn in turn and prints the ratio of their
times, with its spread, and how far the variances along the principal axes differ.

    python3 compare_covariance.py --ours build/release/covariance_bench --images RXRX1/train --rounds 5

Needs a Python with scikit-learn and Pillow. Takes the six-channel stacks of site 1, tiled to --pixels or more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image

PEER = Path(__file__).parent / "peers" / "pca_covariance.py"
CHANNELS = 6
CORES = "2"


def read_pixels(folder, least):
    """u8 [pixels, CHANNELS]."""
    stacks = []
    for first in sorted(Path(folder).rglob("*_s1_w1.png")):
        channels = [first.with_name(first.name.replace("_w1", f"_w{c + 1}")) for c in range(CHANNELS)]
        stacks.append(numpy.stack([numpy.asarray(Image.open(c)) for c in channels], axis=-1).reshape(-1, CHANNELS))
    if not stacks:
        sys.exit(f"compare_covariance.py: error: {folder}: has no site of RxRx1, such as .../A01_s1_w1.png")
    pixels = numpy.concatenate(stacks)
    return numpy.tile(pixels, (-(-least // len(pixels)), 1))


def measure(command):
    """The last line of the command's output, as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": CORES, "OPENBLAS_NUM_THREADS": CORES}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="build/release/covariance_bench")
    parser.add_argument("--images", required=True, help="a folder of RxRx1's layout")
    parser.add_argument("--pixels", type=int, default=8_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    peers = {"incremental": [], "covariance_eigh": []}
    ours = []
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "pixels.bin")
        read_pixels(args.images, args.pixels).tofile(file)
        for _ in range(args.rounds):
            ours.append(measure([args.ours, "--pixels", file, "--channels", str(CHANNELS)]))
            for solver, runs in peers.items():
                runs.append(measure([sys.executable, str(PEER), file, "--channels", str(CHANNELS), "--solver", solver]))

    seconds = statistics.median(run["seconds"] for run in ours)
    share = statistics.median(run["share_of_read_bandwidth"] for run in ours)
    print(
        f"cytograd: {ours[0]['pixels']} pixels in {1e3 * seconds:.2f} ms, {ours[0]['threads']} threads, "
        f"{share:.2f} of the read bandwidth"
    )
    covariance = numpy.array(ours[0]["covariance"]).reshape(CHANNELS, CHANNELS)
    variances = numpy.sort(numpy.linalg.eigvalsh(covariance))[::-1]
    for solver, runs in peers.items():
        theirs = statistics.median(run["seconds"] for run in runs)
        ratios = sorted(b["seconds"] / a["seconds"] for a, b in zip(ours, runs))
        difference = numpy.max(numpy.abs(numpy.array(runs[0]["variances"]) / variances - 1))
        print(
            f"scikit-learn {runs[0]['sklearn']} {solver}: {1e3 * theirs:.0f} ms; cytograd is "
            f"{statistics.median(ratios):.1f} times as fast ({ratios[0]:.1f} to {ratios[-1]:.1f} in {args.rounds} "
            f"rounds); variances differ by {difference:.1e}"
        )


if __name__ == "__main__":
    main()
