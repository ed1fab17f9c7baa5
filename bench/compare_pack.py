"""Packs a dataset by `cytograd pack` and by Pillow in turn and prints the ratio of their rates, with its spread.

    python3 compare_pack.py --ours build/release/cytograd --images RXRX1/train --rounds 5

Needs a Python with Pillow, numpy and safetensors. Takes the complete sites of --images, as wells A01, A02, ... of their
plates, copied until they are --sites or more; two threads beside two processes, whose start-up does not count. Files are
read once before.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

PEER = Path(__file__).parent / "peers" / "pillow_pack.py"
CHANNELS = 6


def copy_sites(images, data, least):
    """A folder in Kaggle's layout with its train.csv; returns how many sites it has."""
    sites = [
        first for first in sorted(images.rglob("*_s1_w1.png"))
        if all(first.with_name(first.name.replace("_w1", f"_w{c}")).exists() for c in range(2, CHANNELS + 1))
    ]
    if not sites:
        sys.exit(f"compare_pack.py: error: {images}: has no site of {CHANNELS} channels, such as .../A01_s1_w1.png")
    copies = -(-least // len(sites))
    rows = ["id_code,experiment,plate,well,sirna"]
    wells = Counter()
    for first in sites:
        experiment, plate = first.parts[-3], first.parts[-2]
        folder = data / "train" / experiment / plate
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(copies):
            row, column = divmod(wells[folder], 24)
            well = f"{chr(ord('A') + row)}{column + 1:02}"
            wells[folder] += 1
            rows.append(f"{experiment}_{plate[-1]}_{well},{experiment},{plate[-1]},{well},sirna_1")
            for c in range(1, CHANNELS + 1):
                shutil.copyfile(first.with_name(first.name.replace("_w1", f"_w{c}")), folder / f"{well}_s1_w{c}.png")
    (data / "train.csv").write_text("\n".join(rows) + "\n")
    return copies * len(sites)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="build/release/cytograd")
    parser.add_argument("--images", type=Path, required=True, help="a folder of experiments in RxRx1's layout")
    parser.add_argument("--sites", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as scratch:
        data, out = Path(scratch) / "data", Path(scratch) / "out"
        sites = copy_sites(args.images, data, args.sites)
        for file in data.rglob("*.png"):
            file.read_bytes()
        for _ in range(args.rounds):
            start = time.perf_counter()
            subprocess.run([args.ours, "pack", "--data", str(data), "--out", str(out), "--max-missing", "1"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            ours.append(sites / (time.perf_counter() - start))
            shutil.rmtree(out)
            peer = subprocess.run([sys.executable, str(PEER), "--data", str(data), "--out", str(out)], check=True,
                                  stdout=subprocess.PIPE, text=True)
            theirs.append(float(re.search(r"([\d.]+) images/s", peer.stdout)[1]))
            shutil.rmtree(out)
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    print(f"{sites} sites of {CHANNELS} channels: cytograd {statistics.median(ours):.0f} sites/s, "
          f"Pillow {statistics.median(theirs):.0f} sites/s; cytograd is {statistics.median(ratios):.2f} times as fast "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {args.rounds} rounds)")


if __name__ == "__main__":
    main()
