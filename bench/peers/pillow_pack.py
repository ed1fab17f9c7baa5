"""Packs a Kaggle RxRx1 folder with Pillow: decodes every site's channels, checks the pixels off with CRC-32, and writes
safetensors shards of raw u8, on a pool of processes. What `cytograd pack` does, without resuming.

    python3 pillow_pack.py --data DIR --out DIR [--processes 2]      (needs Pillow, numpy and safetensors)
"""

import argparse
import re
import time
import zlib
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

SHARD_BYTES = 128 << 20


def decode(site):
    name, files = site
    planes = []
    for file in files:
        with Image.open(file) as image:
            planes.append(np.asarray(image))
    pixels = np.stack(planes, axis=-1)  # [H, W, C]
    return name, pixels, zlib.crc32(pixels)


def sites_of(data):
    """(name, files of the six channels) of each site that has them all."""
    found = {}
    for file in sorted(data.glob("t*/*/Plate*/*.png")):
        well, site, channel = re.fullmatch(r"(.+)_s(\d)_w(\d)", file.stem).groups()
        name = f"{file.parts[-3]}_{file.parts[-2][-1]}_{well}_s{site}"
        found.setdefault(name, {})[int(channel)] = file
    return [(name, [files[c] for c in sorted(files)]) for name, files in found.items() if len(files) == 6]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shard, checksums, size, shards = {}, {}, 0, 0

    def write():
        nonlocal shard, checksums, size, shards
        save_file(shard, options.out / f"shard-{shards:05}.safetensors", metadata=checksums)
        shard, checksums, size, shards = {}, {}, 0, shards + 1

    with Pool(options.processes) as pool:
        pool.map(int, range(options.processes))  # they are there
        start = time.perf_counter()
        sites = sites_of(options.data)
        for name, pixels, crc in pool.imap(decode, sites, chunksize=4):
            shard[name] = pixels
            checksums[name] = f"{crc:08x}"
            size += pixels.nbytes
            if size >= SHARD_BYTES:
                write()
    if shard:
        write()
    seconds = time.perf_counter() - start
    print(f"{len(sites)} images, {seconds:.3f} s, {len(sites) / seconds:.1f} images/s")


if __name__ == "__main__":
    main()
