"""Writes the golden files beside it: ops.safetensors, models.safetensors and losses.safetensors.

    python3 make_golden.py [ops] [models] [losses]       (needs torch and numpy; torchvision is used where it is there)

ops.safetensors follows op_cases.json, which the C++ table writes: see ../README.md.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import op_references
from model_references import model_results, training_losses
from philox import draw_values
from probe import probe, write_safetensors

HERE = Path(__file__).parent


def op_results(case):
    tensors = {}
    for entry in case["inputs"]:
        values = torch.from_numpy(draw_values(entry, case["name"])).double()
        tensors[entry["name"]] = values.requires_grad_(entry["role"] != "constant")
    reference = getattr(op_references, case["op"])
    y, state = reference(tensors, case["attributes"], case["name"])
    results = {"y": y, **state}
    if case["differentiable"]:
        dy = torch.from_numpy(
            draw_values(
                {"name": "dy", "shape": list(y.shape), "fill": "uniform", "low": -1, "range": 2}, case["name"]
            )
        ).double()
        if case["op"] == "cast":  # dy has the result's type
            dy = op_references.cast({"x": dy}, case["attributes"], None)[0]
        leaves = {name: t for name, t in tensors.items() if t.requires_grad}
        gradients = torch.autograd.grad(y, list(leaves.values()), dy)
        results.update({"d" + name: g for name, g in zip(leaves, gradients)})
    return {f"{case['name']}|{name}": probe(t.detach().numpy()) for name, t in results.items()}


def main():
    torch.set_num_threads(2)
    chosen = sys.argv[1:] or ["ops", "models", "losses"]
    if "ops" in chosen:
        golden = {}
        for case in json.loads((HERE / "op_cases.json").read_text()):
            golden.update(op_results(case))
        write_safetensors(HERE / "ops.safetensors", golden)
    if "models" in chosen:
        golden = {}
        for name in ["resnet18", "resnet18_3x3", "resnet50"]:
            golden.update(model_results(name))
        write_safetensors(HERE / "models.safetensors", golden)
    if "losses" in chosen:
        losses = {name: np.array(training_losses(name)) for name in ["sgd", "adamw"]}
        write_safetensors(HERE / "losses.safetensors", losses)


if __name__ == "__main__":
    main()
