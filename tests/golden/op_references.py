"""What each op of the table computes, in PyTorch and f64 from the f32 inputs, in our layouts.

A reference takes the inputs by name, as f64 tensors (differentiable ones require a gradient), and the options, and
returns y and the state that the op changed. f64 leaves all of the difference from our f32 results to our rounding.
"""

import numpy as np
import torch
import torch.nn.functional as F

from philox import Philox, fnv1a


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def conv2d(t, o, _):
    return nhwc(F.conv2d(nchw(t["x"]), nchw(t["w"]), stride=int(o["stride"]), padding=int(o["padding"]))), {}


def batchnorm_act(t, o, _, training=True):
    channels = t["x"].shape[-1]
    mean, var = t["running_mean"].clone(), t["running_var"].clone()
    y = F.batch_norm(
        t["x"].reshape(-1, channels), mean, var, t["gamma"], t["beta"], training, o["momentum"], o["epsilon"]
    ).reshape(t["x"].shape)
    if "residual" in t:
        y = y + t["residual"]
    if o["relu"]:
        y = F.relu(y)
    return y, {"running_mean": mean, "running_var": var}


def batchnorm_act_eval(t, o, seed):
    return batchnorm_act(t, o, seed, training=False)


def max_pool2d(t, o, _):
    return nhwc(F.max_pool2d(nchw(t["x"]), int(o["window"]), int(o["stride"]), int(o["padding"]))), {}


def global_avg_pool(t, _, __):
    return t["x"].mean(dim=(1, 2)), {}


def linear(t, _, __):
    return F.linear(t["x"], t["w"], t["b"]), {}


def softmax_cross_entropy(t, o, _):
    return (
        F.cross_entropy(
            t["logits"], t["labels"].long(), t.get("class_weights"), label_smoothing=o["label_smoothing"]
        ),
        {},
    )


def softmax(t, _, __):
    return F.softmax(t["logits"], dim=1), {}


def add(t, _, __):
    return t["a"] + t["b"], {}


def relu(t, _, __):
    return F.relu(t["x"]), {}


def dropout(t, o, _):
    """engine/op_options.h: draw i of Philox(seed, offset) decides element i."""
    x = t["x"]
    u = Philox(int(o["seed"]), int(o["offset"])).uniform(x.numel()).reshape(x.shape)
    p = np.float32(o["probability"])
    return x * torch.from_numpy(u >= p).double() / (1.0 - float(p)), {}


def cast(t, o, _):
    """Through f32, which holds the inputs exactly, so that nothing is rounded twice."""
    return t["x"].float().to(torch.bfloat16 if "bf16" in o else torch.float16).double(), {}


def preprocess(t, o, seed):
    """In the order of engine/op_options.h, one image after another, in numpy."""
    images = t["images"].numpy()
    n, height, width, _ = images.shape
    shrink = int(o["shrink"])
    height, width = height // shrink, width // shrink
    crop_height, crop_width = int(o["crop_height"]) or height, int(o["crop_width"]) or width
    draws = Philox(fnv1a(seed), fnv1a("views"))
    results = []
    for image in images:
        top, left = draws.below(1, height - crop_height + 1)[0], draws.below(1, width - crop_width + 1)[0]
        mirror, turns = draws.below(1, 2)[0], draws.below(1, 4)[0]
        if crop_height != crop_width:
            turns = turns // 2 * 2
        gain, offset = draws.uniform(8, 0.75, 1.25), draws.uniform(8, -0.125, 0.125)

        v = image
        if "colormap" in t:
            table = t["colormap"].numpy()
            v = sum(table[c][image[..., c].astype(int)] for c in range(image.shape[-1]))
            v = np.minimum(v, 255)
        if "linear_weight" in t:
            v = image @ t["linear_weight"].numpy().T + t["linear_bias"].numpy()
        v = v[: height * shrink, : width * shrink]
        v = v.reshape(height, shrink, width, shrink, -1).mean(axis=(1, 3))
        v = v[top : top + crop_height, left : left + crop_width]
        if mirror:
            v = v[:, ::-1]
        v = np.rot90(v, turns)
        if o["normalize_image"]:
            v = (v - v.mean(axis=(0, 1))) / (v.std(axis=(0, 1)) + 1e-3)
        else:
            v = v / 255
        k = v.shape[-1]
        results.append(v * gain[:k].astype(float) + offset[:k].astype(float))
    return torch.from_numpy(np.stack(results)), {}
