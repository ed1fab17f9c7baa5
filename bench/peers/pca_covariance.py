"""Fits scikit-learn's PCA to a file of pixels and prints a line of JSON with the time that took.

    python3 pca_covariance.py pixels.bin --channels 6 --solver incremental

The pixels are f64 before the clock starts, so that converting them is not counted: of f32, covariance_eigh loses the
small variances to cancellation.
"""

import argparse
import json
import time

import numpy
import sklearn
from sklearn.decomposition import PCA, IncrementalPCA

BATCH = 65_536  # pixels that IncrementalPCA takes at once; its default of 5 a channel would be far slower


def make_model(solver):
    return IncrementalPCA(batch_size=BATCH) if solver == "incremental" else PCA(svd_solver="covariance_eigh")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pixels")
    parser.add_argument("--channels", type=int, default=6)
    parser.add_argument("--solver", choices=["incremental", "covariance_eigh"], required=True)
    args = parser.parse_args()

    x = numpy.fromfile(args.pixels, dtype=numpy.uint8).reshape(-1, args.channels).astype(numpy.float64)
    make_model(args.solver).fit(x[: 2 * BATCH])  # libraries load and threads start
    start = time.perf_counter()
    model = make_model(args.solver).fit(x)
    seconds = time.perf_counter() - start
    variances = [float(v) for v in model.explained_variance_]
    print(json.dumps({"seconds": seconds, "sklearn": sklearn.__version__, "variances": variances}))


if __name__ == "__main__":
    main()
