"""Times training steps in PyTorch: channels_last, SGD with momentum, synthetic images; bf16 and f16 by autocast, f16
with a gradient scaler. Prints a line of JSON, and once more with what passes in evaluation took.

    OMP_NUM_THREADS=2 python3 torch_train_step.py --size 64 --batch 64 --dtype f32 [--compile]

f32 means f32: TF32 is off, as in cytograd. Times are medians; the phases are measured after the steps, apart.
"""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F

from torch_models import MODELS, make_model

WARM_UP = 5
STEPS_AT_LEAST = 2
QUEUED = 10  # steps between two waits for a GPU
HALVES = {"bf16": torch.bfloat16, "f16": torch.float16}


class Training:
    """A model on inputs that stay the same; a step is forward, backward, update."""

    def __init__(self, args):
        torch.manual_seed(0)
        self.device = torch.device(args.device)
        model = make_model(args.model, args.channels, args.classes, args.stem)
        model = model.to(self.device, memory_format=torch.channels_last)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        self.scaler = None
        if args.dtype == "f16":
            amp = torch.amp if hasattr(torch.amp, "GradScaler") else torch.cuda.amp
            self.scaler = amp.GradScaler()
        if args.compile:
            if not hasattr(torch, "compile"):
                raise SystemExit(f"PyTorch {torch.__version__} has no torch.compile")
            model = torch.compile(model, mode=args.compile)
        self.model = model
        self.half = HALVES.get(args.dtype)
        x = torch.randn(args.batch, args.channels, args.size, args.size, device=self.device)
        self.x = x.contiguous(memory_format=torch.channels_last)
        self.labels = torch.arange(args.batch, device=self.device) % args.classes

    def logits(self):
        with torch.autocast(self.device.type, dtype=self.half or torch.bfloat16, enabled=self.half is not None):
            return self.model(self.x)

    def forward(self):
        self.loss = F.cross_entropy(self.logits().float(), self.labels)

    def backward(self):
        self.optimizer.zero_grad(set_to_none=True)
        (self.scaler.scale(self.loss) if self.scaler else self.loss).backward()

    def update(self):
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()

    def steps(self, count):
        for _ in range(count):
            self.forward()
            self.backward()
            self.update()
        return self.loss.item()  # waits for the device

    def compile_for_inference(self, mode):
        """With the weights as constants, which folds batch norms into convolutions."""
        import torch._inductor.config

        torch._inductor.config.freezing = True
        torch._dynamo.reset()
        self.model = torch.compile(self.model._orig_mod, mode=mode)

    def infer(self, count):
        with torch.no_grad():
            for _ in range(count):
                self.logits()
        self.synchronize()

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def repeat(steps, seconds, act):
    """Calls `act` up to `steps` times, but from the third on no more once `seconds` are over."""
    start = time.perf_counter()
    for i in range(steps):
        if i >= STEPS_AT_LEAST and time.perf_counter() - start > seconds:
            break
        act()


def timed(act, times):
    start = time.perf_counter()
    act()
    times.append(time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18", choices=MODELS)
    parser.add_argument("--stem", default="7x7", choices=["7x7", "3x3"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=6)
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16", "f16"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0, help="after which no more steps begin, but for two")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--no-inference", dest="inference", action="store_false", help="compiles once, not twice")
    parser.add_argument("--compile", nargs="?", const="default", help="torch.compile, with this mode")
    args = parser.parse_args()
    if args.dtype == "f16" and args.device == "cpu":
        raise SystemExit("f16 is compared on a GPU")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True  # the fastest algorithms; sizes do not change

    training = Training(args)
    repeat(WARM_UP, args.seconds / 5, lambda: training.steps(1))
    queued = min(QUEUED, args.steps) if args.device == "cuda" else 1
    seconds = []
    repeat(args.steps // queued, args.seconds, lambda: timed(lambda: training.steps(queued), seconds))
    seconds = [group / queued for group in seconds]

    phases = {"forward": [], "backward": [], "optimizer": []}
    acts = dict(zip(phases, (training.forward, training.backward, training.update)))

    def step_by_phases():
        for name, times in phases.items():
            timed(lambda: (acts[name](), training.synchronize()), times)

    repeat(args.steps, args.seconds, step_by_phases)
    median = statistics.median(seconds)
    memory = {"peak_resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}  # of training alone
    if args.device == "cuda":
        memory["peak_mib"] = torch.cuda.max_memory_allocated() >> 20
    result = {
        "torch": torch.__version__,
        **vars(args),
        "threads": torch.get_num_threads(),
        "parameters": training.parameters,
        "steps": queued * len(seconds),
        "median_seconds": median,
        "min_seconds": min(seconds),
        "images_per_second": args.batch / median,
        "phases": {name: statistics.median(times) for name, times in phases.items()},
        **memory,
    }
    print(json.dumps(result), flush=True)  # before inference, which may be compiled for long, or fail
    if args.inference:
        inference_seconds = []
        training.model.eval()
        if args.compile:
            training.compile_for_inference(args.compile)
        training.infer(2)  # the first may compile
        repeat(args.steps // queued, args.seconds,
               lambda: timed(lambda: training.infer(queued), inference_seconds))
        result["inference_images_per_second"] = args.batch * queued / statistics.median(inference_seconds)
        print(json.dumps(result))


if __name__ == "__main__":
    main()
