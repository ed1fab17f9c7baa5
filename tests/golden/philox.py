"""The draws of engine/philox.h in numpy, bit for bit, and of the tests' fills (tests/op_case.h)."""

import numpy as np

MASK = np.uint64(0xFFFFFFFF)


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    return h


def philox4x32(counter, key):
    """counter: four u64 arrays of 32-bit values, key: two ints; returns four u64 arrays of 32-bit values."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    shift = np.uint64(32)
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ np.uint64(k0),
            p1 & MASK,
            (p0 >> shift) ^ c3 ^ np.uint64(k1),
            p0 & MASK,
        )
        k0 = (k0 + 0x9E3779B9) % 2**32
        k1 = (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


class Philox:
    """A stream for (seed, a, b)."""

    def __init__(self, seed, a=0, b=0):
        self.key = (seed % 2**32, seed >> 32)
        self.upper = (b, a % 2**32, a >> 32)
        self.drawn = 0

    def bits(self, count):
        """The next `count` words, as u64."""
        first, last = self.drawn // 4, (self.drawn + count + 3) // 4
        index = np.arange(first, last, dtype=np.uint64)
        rest = [np.full(index.shape, word, dtype=np.uint64) for word in self.upper]
        words = np.stack(philox4x32((index, *rest), self.key), axis=1).reshape(-1)
        begin = self.drawn - 4 * first
        self.drawn += count
        return words[begin : begin + count]

    def uniform(self, count, low=0.0, high=1.0):
        u = (self.bits(count) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        low, high = np.float32(low), np.float32(high)
        return low + (high - low) * u

    def below(self, count, n):
        """Integers in [0, n); a rejected word is skipped, as Philox::below does."""
        accepted = []
        while len(accepted) < count:
            start = self.drawn
            product = self.bits(count - len(accepted)) * np.uint64(n)
            kept = (product & MASK) >= np.uint64(2**32 % n)
            accepted.extend((product[kept] >> np.uint64(32)).tolist())
            assert self.drawn == start + len(product)
        return np.array(accepted, dtype=np.int64)


def draw_values(entry, seed):
    """f32 values of an input, in our layout; `entry` is one of op_cases.json's inputs."""
    shape = entry["shape"]
    count = int(np.prod(shape, dtype=np.int64))
    philox = Philox(fnv1a(seed), fnv1a(entry["name"]))
    fill, low, size = entry["fill"], np.float32(entry["low"]), np.float32(entry["range"])
    if fill == "uniform":
        values = philox.uniform(count, low, low + size)
    elif fill == "split":
        u = philox.uniform(count, -1.0, 1.0)
        values = np.where(u < 0, u - low, u + low)
    elif fill == "distinct":
        order = np.argsort(philox.bits(count), kind="stable")
        n = np.float32(count)
        values = np.empty(count, dtype=np.float32)
        values[order] = ((2 * np.arange(count) + 1).astype(np.float32) - n) / n
    else:
        values = philox.below(count, int(size)).astype(np.float32)
    return values.astype(np.float32).reshape(shape)


def parameter_values(name, shape):
    """Initial values of a golden model's parameter: `shape` is torchvision's, [O, I, KH, KW] for a convolution.

    Convolution weights are He-uniform over their inputs, drawn in our order [O, KH, KW, I]; a norm's scale lies in
    [0.25, 0.5), its shift in [0.75, 1.25); the last layer's weight in +-2^-4, its bias in +-2^-2. All exact in f32.
    Shifts of several deviations keep most activations off the ReLU's kink: where one lies within f32 rounding of it,
    f32 and f64 take different sides, and a gradient of the deep layers, a sum over few pixels, moves by percents.
    """
    philox = Philox(fnv1a(name))
    count = int(np.prod(shape, dtype=np.int64))
    if len(shape) == 4:
        o, i, kh, kw = shape
        bound = np.float32(np.sqrt(6.0 / (i * kh * kw)))
        return (philox.uniform(count, -1, 1) * bound).reshape(o, kh, kw, i).transpose(0, 3, 1, 2).copy()
    if len(shape) == 2:
        return philox.uniform(count, -(2.0**-4), 2.0**-4).reshape(shape)
    if name == "fc.bias":
        return philox.uniform(count, -0.25, 0.25)
    if name.endswith(".weight"):
        return philox.uniform(count, 0.25, 0.5)
    return philox.uniform(count, 0.75, 1.25)


def philox_parameters(named_shapes):
    """{name: shape} to {name: f32 array}."""
    return {name: parameter_values(name, tuple(shape)) for name, shape in named_shapes.items()}
