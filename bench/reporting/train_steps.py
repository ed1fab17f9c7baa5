"""Reads files of training steps: rounds of cytograd and of other engines in turn."""

import statistics
from dataclasses import dataclass, field

from .json_node import clean

PHASES = ("load", "preprocess", "forward", "backward", "optimizer")


@dataclass
class EngineRun:
    engine: str
    rates: list  # images a second, one a round
    ratios: list = field(default_factory=list)  # cytograd's rate over this one, one a round; of cytograd's own, none
    inference_rates: list = field(default_factory=list)  # of passes in evaluation, and their ratios
    inference_ratios: list = field(default_factory=list)
    remarks: list = field(default_factory=list)  # what went wrong, or makes it another work than cytograd's
    peak_mib: float | None = None
    share: float | None = None
    phases: dict = field(default_factory=dict)  # name -> seconds a step


def median(values):
    """None of none."""
    return statistics.median(values) if values else None


@dataclass
class TrainStep:
    title: str
    runs: list


def read_train_steps(root):
    return [read_row(row) for row in root.child("rows").items()]


def read_row(row):
    words = [row.child("model").text()]
    for key, form in (("size", "{0:g}x{0:g}"), ("channels", "{:g} channels"), ("batch", "batch {:g}")):
        if row.has(key):
            words.append(form.format(row.child(key).number(zero=False)))
    for key in ("dtype", "device"):
        if row.has(key):
            words.append(row.child(key).text())
    nodes = row.child("runs").items()
    runs = [read_run(node) for node in nodes]
    ours, own = next(((run, node) for run, node in zip(runs, nodes) if run.engine.startswith("cytograd")), (None, None))
    for run, node in zip(runs, nodes):
        if ours is None or run is ours:
            continue
        # Rounds alternate, so that what disturbs the machine meets both engines: a ratio is one of the same round.
        if len(run.rates) != len(ours.rates) and not node.has("error") and not own.has("error"):
            node.child("images_per_second").fail(f"{len(run.rates)} rounds beside cytograd's {len(ours.rates)}")
        run.ratios = [a / b for a, b in zip(ours.rates, run.rates)]
        run.inference_ratios = [a / b for a, b in zip(ours.inference_rates, run.inference_rates)]
    return TrainStep(", ".join(words), runs)


def read_run(node):
    rates = [value.number(zero=False) for value in node.child("images_per_second").items()]
    if not rates and not node.has("error"):
        node.child("images_per_second").fail("no round")
    run = EngineRun(node.child("engine").text(), rates)
    run.remarks = [node.child(key).text() for key in ("error", "remark") if node.has(key)]
    if node.has("inference_images_per_second"):
        inference = node.child("inference_images_per_second")
        # Earlier files have the median alone.
        values = inference.items() if isinstance(inference.value, list) else [inference]
        run.inference_rates = [value.number(zero=False) for value in values]
    if node.has("peak_mib"):
        run.peak_mib = node.child("peak_mib").counter()
    if node.has("share_of_limit"):
        run.share = node.child("share_of_limit").counter()
    if node.has("phases"):
        phases = node.child("phases")
        for name in sorted(phases.object(), key=lambda name: PHASES.index(name) if name in PHASES else len(PHASES)):
            if phases.has(name):
                run.phases[clean(name)] = phases.child(name).number()
    return run
