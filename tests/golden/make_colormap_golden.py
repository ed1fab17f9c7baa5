"""Writes colormap.json: what the RxRx1 utilities' colormap makes of real sites, as sums and probe pixels.

    CYTOGRAD_SAMPLES=DIR python3 make_colormap_golden.py      (needs numpy and Pillow)

The formula is that of rxrx/io.py in github.com/recursionpharma/rxrx1-utils: scale by 255, by the channel's range,
clip at 1, outer product with the colour, truncate, add, clip at 255.
"""

import json
import os
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = [(19, 0, 249), (42, 255, 31), (255, 0, 25), (45, 255, 252), (250, 0, 253), (254, 255, 40)]
HIGHS = [51, 107, 64, 191, 89, 191]
SITES = [
    "train/HEPG2-01/Plate1/B02_s1",
    "train/HUVEC-01/Plate2/B02_s1",
    "train/RPE-01/Plate3/B02_s1",
    "train/U2OS-01/Plate4/B02_s1",
    "test/HEPG2-08/Plate2/B02_s1",
]
PROBES = 50


def colormap(planes):
    """planes: u8 [H, W, 6]; returns u8 [H, W, 3]."""
    total = np.zeros(planes.shape[:2] + (3,), dtype=int)
    for c, (colour, high) in enumerate(zip(COLOURS, HIGHS)):
        x = (planes[:, :, c] / 255) / (high / 255)
        x = np.where(x > 1.0, 1.0, x)
        total += np.outer(x, np.array(colour)).reshape(total.shape).astype(int)
    return np.minimum(total, 255).astype(np.uint8)


def main():
    root = Path(os.environ["CYTOGRAD_SAMPLES"]) / "rxrx1"
    random = np.random.default_rng(0)
    sites = []
    for site in SITES:
        planes = np.stack([np.array(Image.open(root / f"{site}_w{c}.png")) for c in range(1, 7)], axis=-1)
        rgb = colormap(planes)
        places = np.stack([random.integers(0, size, PROBES) for size in rgb.shape[:2]], axis=-1)
        sites.append({
            "site": site,
            "height": rgb.shape[0],
            "width": rgb.shape[1],
            "crc32": zlib.crc32(rgb.tobytes()),
            "sums": rgb.sum(axis=(0, 1), dtype=np.int64).tolist(),
            "probes": [[int(y), int(x), *map(int, rgb[y, x])] for y, x in places],  # row, column, R, G, B
        })
    lines = ",\n".join("  " + json.dumps(site) for site in sites)
    Path(__file__).with_name("colormap.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
