"""Writes pca.json: numpy's sums and scikit-learn's principal components of real sites.

    CYTOGRAD_SAMPLES=DIR python3 make_pca_golden.py      (needs numpy, Pillow and scikit-learn of 1.5 or newer)

Single sites, and the four plates of one experiment together; sums in int64, components by PCA(svd_solver="full") of all
pixels in f64.
"""

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA

SCOPES = {
    "HEPG2-01_1": ["train/HEPG2-01/Plate1/B02_s1"],
    "HUVEC-01_2": ["train/HUVEC-01/Plate2/B02_s1"],
    "U2OS-01_4": ["train/U2OS-01/Plate4/B02_s1"],
    "HEPG2-08_2": ["test/HEPG2-08/Plate2/B02_s1"],
    "RPE-01": [f"train/RPE-01/Plate{plate}/B02_s1" for plate in range(1, 5)],
}


def main():
    root = Path(os.environ["CYTOGRAD_SAMPLES"]) / "rxrx1"
    scopes = []
    for name, sites in SCOPES.items():
        pixels = np.concatenate([
            np.stack([np.asarray(Image.open(root / f"{site}_w{c}.png")) for c in range(1, 7)], axis=-1).reshape(-1, 6)
            for site in sites
        ])
        whole = pixels.astype(np.int64)
        projection = PCA(svd_solver="full").fit(pixels.astype(np.float64))
        fitted = projection.transform(pixels[:1000].astype(np.float64))
        scopes.append({
            "name": name,
            "sites": sites,
            "pixels": len(pixels),
            "sums": whole.sum(axis=0).tolist(),
            "products": (whole.T @ whole).tolist(),
            "components": projection.components_.tolist(),
            "explained_variance": projection.explained_variance_.tolist(),
            "percentiles": np.percentile(fitted[:, :3], [0.5, 99.5], axis=0).T.tolist(),  # of the first 1000 pixels
        })
    lines = ",\n".join("  " + json.dumps(scope) for scope in scopes)
    Path(__file__).with_name("pca.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
