"""Golden files: tensors whole or as probes, in safetensors. tests/golden_file.h has the same rule."""

import json

import numpy as np

from philox import Philox, fnv1a

PROJECTIONS = 4


def probe(values, whole=2048, samples=256):
    """All elements where there are at most `whole`; else l2 norm, largest magnitude, projections, samples."""
    values = np.asarray(values, dtype=np.float64).reshape(-1)
    if values.size <= whole:
        return values
    bits = Philox(fnv1a("probe")).bits(values.size)
    signs = [1.0 - 2.0 * ((bits >> np.uint64(k)) & np.uint64(1)).astype(np.float64) for k in range(PROJECTIONS)]
    places = np.arange(samples) * values.size // samples
    return np.concatenate(
        [
            [np.linalg.norm(values), np.abs(values).max()],
            [float(np.dot(sign, values)) for sign in signs],
            values[places],
        ]
    )


def write_safetensors(path, tensors):
    """{name: array} as F32."""
    header, offset = {}, 0
    arrays = {name: np.ascontiguousarray(value, dtype="<f4") for name, value in tensors.items()}
    for name, array in arrays.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())
