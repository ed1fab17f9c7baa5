"""Whole networks: logits, loss, gradients and running statistics of a ResNet, and ten losses of its training.

Weights and images come from Philox on both sides, so that none is stored. The reference is f64; the same in PyTorch's
f32 must agree with it to a part of the tests' tolerances, so that these speak of our code and not of the problem.
"""

import numpy as np
import torch
import torch.nn.functional as F

from philox import draw_values, philox_parameters
from probe import probe
from resnet import make_resnet

CHANNELS = 6
CLASSES = 10
SMOOTHING = float(np.float32(0.1))
MODELS = {  # batch and image size
    "resnet18": ("resnet18", "7x7", 4, 64),
    "resnet18_3x3": ("resnet18", "3x3", 4, 32),
    "resnet50": ("resnet50", "7x7", 4, 64),
}
STEPS, BATCH, SIZE = 10, 8, 32
LEARNING_RATE = {"sgd": 2.0**-11, "adamw": 2.0**-14}
WEIGHT_DECAY = {"sgd": 2.0**3, "adamw": 2.0**6}  # takes 2^-8 a step: losses must show where it is missing


def make_model(name, stem, dtype):
    model = make_resnet(name, CHANNELS, CLASSES, stem)
    values = philox_parameters({n: tuple(p.shape) for n, p in model.named_parameters()})
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(torch.from_numpy(values[n]))
    return model.to(dtype)


def draw_batch(seed, batch, size, dtype):
    shape = [batch, size, size, CHANNELS]
    x = draw_values({"name": "x", "shape": shape, "fill": "uniform", "low": -2, "range": 4}, seed)
    labels = draw_values({"name": "labels", "shape": [batch], "fill": "below", "low": 0, "range": CLASSES}, seed)
    return torch.from_numpy(x).permute(0, 3, 1, 2).to(dtype), torch.from_numpy(labels).long()


def ours(t):
    """Convolution weights in our layout [O, KH, KW, I]."""
    t = t.detach().double()
    return (t.permute(0, 2, 3, 1) if t.dim() == 4 else t).numpy()


def gradients_by_scale(gradients):
    """Of each convolution and linear tensor; of a norm, scale and shift as one. A shift's gradient alone can cancel
    to nothing, where the next norm takes the shift out again, so that it has no scale to measure an error in."""
    results = {}
    for name, g in gradients.items():
        layer = name.rsplit(".", 1)[0]
        if layer + ".bias" not in gradients or layer == "fc":
            results["d" + name] = g
        elif name.endswith(".weight"):
            results["d" + layer] = np.concatenate([g, gradients[layer + ".bias"]])
    return results


def run_model(case, dtype):
    name, stem, batch, size = MODELS[case]
    model = make_model(name, stem, dtype)
    x, labels = draw_batch(case, batch, size, dtype)
    logits = model(x)
    loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
    loss.backward()
    results = {"logits": ours(logits), "loss": ours(loss)}
    results.update(gradients_by_scale({n: ours(p.grad) for n, p in model.named_parameters()}))
    results.update({n: ours(b) for n, b in model.named_buffers() if "running" in n})
    model.eval()
    with torch.no_grad():
        results["eval_logits"] = ours(model(x))
    return results


def model_results(case):
    exact, single = run_model(case, torch.float64), run_model(case, torch.float32)
    errors = {n: np.abs(single[n] - exact[n]).max() / np.abs(exact[n]).max() for n in exact}
    worst = max(errors, key=errors.get)
    forward = max(v for n, v in errors.items() if not n.startswith("d"))
    print(f"{case}: f32 against f64: forward {forward:.1e}, worst {errors[worst]:.1e} ({worst})")
    assert forward < 5e-6 and errors[worst] < 5e-5, "too ill-conditioned for a golden test"
    return {f"{case}|{n}": probe(v, whole=64, samples=16) for n, v in exact.items()}


def run_training(optimizer, dtype):
    model = make_model("resnet18", "7x7", dtype)
    rate, decay = LEARNING_RATE[optimizer], WEIGHT_DECAY[optimizer]
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    if optimizer == "sgd":  # its decay is decoupled here, as ours: not the L2 term of torch.optim.SGD
        step = torch.optim.SGD(model.parameters(), lr=rate, momentum=float(np.float32(0.9)), nesterov=True)
    else:
        groups = [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
        step = torch.optim.AdamW(groups, lr=rate, betas=(float(np.float32(0.9)), float(np.float32(0.999))), eps=1e-8)
    x, labels = draw_batch("training", BATCH, SIZE, dtype)
    losses = []
    for _ in range(STEPS):
        loss = F.cross_entropy(model(x), labels)
        step.zero_grad()
        loss.backward()
        if optimizer == "sgd":
            with torch.no_grad():
                for p in decayed:
                    p.mul_(1 - rate * decay)
        step.step()
        losses.append(loss.item())
    return losses


def training_losses(optimizer):
    exact, single = run_training(optimizer, torch.float64), run_training(optimizer, torch.float32)
    error = max(abs(a - b) / abs(b) for a, b in zip(single, exact))
    print(f"{optimizer}: losses {exact[0]:.4f} to {exact[-1]:.4f}, f32 against f64 {error:.1e}")
    assert error < 2e-5, "too chaotic for a golden test"
    return exact
