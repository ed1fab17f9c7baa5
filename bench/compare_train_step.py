"""Runs the training step of cytograd and of PyTorch in turn and prints the ratio of their rates, with its spread.

    python3 compare_train_step.py --torch python3 [--config resnet18:64:64:f32 ...] [--rounds 5] [--json FILE]

A configuration is model:size:batch:dtype, or model:size:batch:dtype:cuda. --torch names a Python with PyTorch, which is
run eagerly and with torch.compile, and may be given several times. What is compared is forward, loss, backward and
optimizer, and passes in evaluation, on inputs that stay the same; cytograd's loading and preprocessing are measured
beside it.
"""

import argparse
import signal
import statistics
import sys
from pathlib import Path

import machine

PEER = Path(__file__).parent / "peers" / "torch_train_step.py"
SHAPES = ("resnet18:64:64", "resnet18:128:64", "resnet50:224:16")
DEFAULT = [f"{shape}:{dtype}" for shape in SHAPES for dtype in ("f32", "bf16")]
COMPILED = {"cpu": ["default"], "cuda": ["default", "reduce-overhead"]}
# What a run keeps of each round's figures: their medians.
FIGURES = ("peak_mib", "peak_resident_mib", "share_of_limit", "matmul_gflops", "train_images_per_second",
           "system_allocations")


def parse_config(text):
    parts = text.split(":")
    if len(parts) not in (4, 5):
        raise argparse.ArgumentTypeError(f"{text}: not model:size:batch:dtype[:device]")
    model, size, batch, dtype, device = (*parts, "cpu")[:5]
    if dtype not in ("f32", "bf16", "f16") or device not in COMPILED:
        raise argparse.ArgumentTypeError(f"{text}: types are f32, bf16 and f16, devices are {' and '.join(COMPILED)}")
    return {"model": model, "size": count(size), "batch": count(batch), "dtype": dtype, "device": device}


def count(text):
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


class Engine:
    """A program and its rounds in one configuration; one that fails once is not run again."""

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.results = []
        self.error = None

    def run(self, args):
        if self.error:
            return
        result = machine.run_json(self.command, args.limit, {"OMP_NUM_THREADS": str(args.threads)})
        self.error = result.pop("error", None)
        if "images_per_second" in result:  # a peer says what training gave before it goes on to inference
            self.results.append(result)

    def rates(self, work=""):
        return [result[work + "images_per_second"] for result in self.results if work + "images_per_second" in result]

    def differences(self, ours):
        """What makes it another work than ours; "" where nothing does."""
        if not self.results or not ours.results:
            return ""
        theirs, own = self.results[0], ours.results[0]
        texts = {"parameters": "NOT the same network: {} parameters beside {}", "threads": "NOT as many threads: {} beside {}"}
        return "; ".join(text.format(theirs[key], own[key]) for key, text in texts.items() if theirs[key] != own[key])

    def summary(self, ours):
        run = {"engine": self.name, "images_per_second": self.rates()}
        if self.error or len(self.results) < max(1, len(ours.results)):
            run["error"] = self.error or "cut short"
        if self.differences(ours):
            run["remark"] = self.differences(ours)
        if self.results:
            first = self.results[0]
            run["steps"] = [result["steps"] for result in self.results]
            if self.rates("inference_"):
                run["inference_images_per_second"] = self.rates("inference_")
            run.update({key: first[key] for key in ("torch", "parameters", "threads", "stem", "classes") if key in first})
            for key in FIGURES:
                if key in first:
                    run[key] = statistics.median(result[key] for result in self.results)
            phases = [result["phases"] for result in self.results]
            run["phases"] = {name: statistics.median(each[name] for each in phases) for name in phases[0]}
        return run


def engines(args, config, torch_versions):
    values = {**config, "channels": args.channels, "steps": args.steps[config["device"]], "seconds": args.seconds}
    options = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    autotune = ["--autotune"] if config["device"] == "cuda" and args.autotune else []  # as the peers measure theirs
    found = [Engine("cytograd", [args.ours, *options, *autotune])]
    for python, version in torch_versions.items():
        if list(torch_versions.values()).count(version) > 1:
            version += f" of {python}"
        peer = [python, str(PEER), *options, *([] if args.inference else ["--no-inference"])]
        found.append(Engine(f"PyTorch {version} eager", peer))
        for mode in COMPILED[config["device"]] if args.compile is None else args.compile:
            suffix = "" if mode == "default" else f" {mode}"
            found.append(Engine(f"PyTorch {version} compile{suffix}", [*peer, "--compile", mode]))
    return found


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def beside(engine, ours, work=""):
    """Rates, and how many times as fast ours are."""
    text = f"{spread(engine.rates(work), 1)} images/s"
    if engine is not ours and ours.rates(work):
        ratios = [a / b for a, b in zip(ours.rates(work), engine.rates(work))]
        text += f", cytograd is {spread(ratios, 2)} times as fast"
    return text


def report(engine, ours):
    """A line on an engine, beside ours."""
    line = f"  {engine.name}: "
    if engine.results:
        line += f"training {beside(engine, ours)}"
        if engine is ours:
            run = engine.summary(ours)
            phases = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in run["phases"].items())
            line += f", {run['share_of_limit']:.0%} of the matrix product's rate, {run['peak_mib']:.0f} MiB; ms: {phases}"
        if engine.rates("inference_"):
            line += f"; inference {beside(engine, ours, 'inference_')}"
        if engine.differences(ours):
            line += f"; {engine.differences(ours)}"
    if engine.error:
        line += f"{'; then ' if engine.results else ''}failed: {engine.error}"
    return line


def torch_version(python):
    """Such as 2.15; "?" where that Python has no PyTorch, as its runs will say."""
    return ".".join(machine.output(python, "-c", "import torch; print(torch.__version__)").split(".")[:2]) or "?"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="build/release/train_step_bench")
    parser.add_argument("--torch", action="append", required=True, help="a Python with PyTorch")
    parser.add_argument("--config", type=parse_config, action="append", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--channels", type=count, default=6)
    parser.add_argument("--compile", nargs="*", metavar="MODE",
                        help="torch.compile's modes; default: default, on a GPU reduce-overhead too; nothing: eager alone")
    parser.add_argument("--no-autotune", dest="autotune", action="store_false",
                        help="on a GPU: cytograd takes the algorithms that cuDNN proposes")
    parser.add_argument("--no-inference", dest="inference", action="store_false",
                        help="peers only train, which spares the compiled ones a second compilation")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--steps", type=count, help="a round; default: 20 on a CPU, 200 on a GPU")
    parser.add_argument("--seconds", type=float, default=30.0, help="after which a round begins no more steps")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a program is killed")
    parser.add_argument("--threads", type=count, default=machine.cores())
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    if args.json and (Path(args.json).is_dir() or not Path(args.json).resolve().parent.is_dir()):
        parser.error(f"--json {args.json}: is a folder, or in none")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what runs is killed, too
    args.steps = {"cpu": args.steps or 20, "cuda": args.steps or 200}

    configs = args.config or [parse_config(text) for text in DEFAULT]
    versions = {python: torch_version(python) for python in args.torch}
    context = machine.describe(args.threads, any(config["device"] == "cuda" for config in configs))
    rows = []
    failed = False
    for config in configs:
        found = engines(args, config, versions)
        for _ in range(args.rounds):
            for engine in found:
                engine.run(args)
                for result in found[0].results[:1]:  # what was measured, wherever this script lies
                    context.update({key: result[key] for key in ("commit", "compiler") if key in result})
                row = {**config, "channels": args.channels, "steps": args.steps[config["device"]], "seconds": args.seconds,
                       "runs": [each.summary(found[0]) for each in found]}
                if args.json:  # after each run: a comparison that is cut short keeps what it has
                    machine.write_json(args.json, {"kind": "train_step", "context": context, "rows": [*rows, row]})
        rows.append(row)
        failed = failed or any(engine.error for engine in found)
        print("{model}, {size} pixels, batch {batch}, {dtype} on {device}:".format(**config))
        for engine in found:
            print(report(engine, found[0]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
