"""Trains a classifier in PyTorch as `cytograd train` does, to compare accuracy and speed side by side.

    python3 torch_train.py --data DIR --val-groups A,B [--epochs 30 --dtype bf16 ...]

DIR has labels.csv (image,label,group) and its images beside it or in images/. Prints a CSV row an epoch and a last line
of JSON.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from torch_models import make_resnet


def read_data(folder):
    """u8 images [N, C, H, W], class numbers, class names, groups; all images of one size."""
    folder = Path(folder)
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    images = folder / "images" if (folder / "images").is_dir() else folder
    pixels = np.stack([np.atleast_3d(np.asarray(Image.open(images / row["image"]))) for row in rows])
    classes = sorted({row["label"] for row in rows})
    labels = [classes.index(row["label"]) for row in rows]
    groups = [row.get("group", "") for row in rows]
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.tensor(labels), classes, groups


def standardize(pixels):
    """(v - mean) / (std + 1e-3) of each image and channel, on the u8 scale."""
    v = pixels.float()
    std = v.std(dim=(2, 3), unbiased=False, keepdim=True)
    return (v - v.mean(dim=(2, 3), keepdim=True)) / (std + 1e-3)


def augment(pixels, generator):
    """A flip and quarter turns, drawn for each image."""
    draws = torch.randint(8, (len(pixels),), generator=generator).tolist()
    turned = [torch.rot90(image.flip(2) if d >= 4 else image, d % 4, (1, 2)) for image, d in zip(pixels, draws)]
    return torch.stack(turned)


def make_optimizer(model, args):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    # cytograd's decay is decoupled; --decoupled-decay is its rule for SGD, and without it decay is torch's L2 term.
    l2 = 0.0 if args.decoupled_decay and args.optimizer == "sgd" else args.weight_decay
    groups = [{"params": decayed, "weight_decay": l2}, {"params": rest, "weight_decay": 0.0}]
    if args.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=args.lr), decayed
    return torch.optim.SGD(groups, lr=args.lr, momentum=args.momentum, nesterov=args.nesterov), decayed


def make_schedule(optimizer, args, steps):
    if args.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=args.lr, total_steps=steps, pct_start=args.warmup, cycle_momentum=False
        )
    if args.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)


def batches(order, size):
    """All of `order` in turn; only a last batch of one image is left out, for batch norm needs two."""
    parts = [order[i : i + size] for i in range(0, len(order), size)]
    return parts[:-1] if len(parts[-1]) == 1 else parts


def evaluate(model, pixels, labels, args):
    model.eval()
    logits = []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
        for i in range(0, len(labels), args.batch):
            x = standardize(pixels[i : i + args.batch])
            logits.append(model(x.contiguous(memory_format=torch.channels_last)).float())
    model.train()
    logits = torch.cat(logits)
    right = (logits.argmax(1) == labels).double()
    by_class = [right[labels == k].mean().item() for k in labels.unique()]
    return F.cross_entropy(logits, labels).item(), right.mean().item(), sum(by_class) / len(by_class)


def train(args):
    pixels, labels, classes, groups = read_data(args.data)
    held_out = args.val_groups.split(",") if args.val_groups else Path(args.val_list).read_text().split()
    val = torch.tensor([g in set(held_out) for g in groups])
    if not val.any() or val.all():
        raise SystemExit("the held-out groups leave no images to train or to validate on")
    train_x, train_y, val_x, val_y = pixels[~val], labels[~val], pixels[val], labels[val]

    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    model = make_resnet(args.model, pixels.shape[1], len(classes), args.stem).to(memory_format=torch.channels_last)
    optimizer, decayed = make_optimizer(model, args)
    steps = args.epochs * len(batches(list(range(len(train_y))), args.batch))
    schedule = make_schedule(optimizer, args, steps)

    print("epoch,train_loss,val_loss,val_accuracy,val_macro_accuracy,images_per_second")
    begin = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        total = count = 0
        for rows in batches(torch.randperm(len(train_y), generator=generator), args.batch):
            x = augment(train_x[rows], generator) if args.augment else train_x[rows]
            x = standardize(x).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), train_y[rows], label_smoothing=args.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if args.decoupled_decay and args.optimizer == "sgd":
                with torch.no_grad():
                    for p in decayed:
                        p.mul_(1 - schedule.get_last_lr()[0] * args.weight_decay)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
            count += len(rows)
        rate = count / (time.perf_counter() - start)
        val_loss, accuracy, macro = evaluate(model, val_x, val_y, args)
        print(f"{epoch},{total / count:.5f},{val_loss:.5f},{accuracy:.5f},{macro:.5f},{rate:.1f}", flush=True)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                **vars(args),
                "threads": torch.get_num_threads(),
                "train_images": len(train_y),
                "val_images": len(val_y),
                "val_accuracy": accuracy,
                "val_macro_accuracy": macro,
                "seconds": round(time.perf_counter() - begin, 1),
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    held_out = parser.add_mutually_exclusive_group(required=True)
    held_out.add_argument("--val-groups", help="A,B,...")
    held_out.add_argument("--val-list", help="a file of groups, separated by white space")
    parser.add_argument("--model", default="resnet18", choices=["resnet18", "resnet34", "resnet50"])
    parser.add_argument("--stem", default="7x7", choices=["7x7", "3x3"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--schedule", default="one_cycle", choices=["one_cycle", "cosine", "constant"])
    parser.add_argument("--warmup", type=float, default=0.3, help="share of the steps, of one_cycle")
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adamw"])
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="of weights; norms and biases have none")
    parser.add_argument("--decoupled-decay", action="store_true", help="for SGD: w -= lr * decay * w, as cytograd")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--no-augment", dest="augment", action="store_false", help="no flips and quarter turns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    train(parser.parse_args())


if __name__ == "__main__":
    main()
