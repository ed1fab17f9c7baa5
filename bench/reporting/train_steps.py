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
    peak_mib: float | None = None
    share: float | None = None
    phases: dict = field(default_factory=dict)  # name -> seconds a step

    @property
    def rate(self):
        return statistics.median(self.rates)

    @property
    def ratio(self):
        return statistics.median(self.ratios) if self.ratios else None


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
    # An engine that failed in its first round has an error and no rate.
    nodes = [node for node in row.child("runs").items()
             if not node.has("error") or list(node.child("images_per_second").items())]
    runs = [read_run(node) for node in nodes]
    ours = next((run for run in runs if run.engine.startswith("cytograd")), None)
    for node, run in zip(nodes, runs):
        if ours is None or run is ours:
            continue
        # Rounds alternate, so that what disturbs the machine meets both engines: a ratio is one of the same round.
        if len(run.rates) != len(ours.rates) and not node.has("error") and not nodes[runs.index(ours)].has("error"):
            node.child("images_per_second").fail(f"{len(run.rates)} rounds beside cytograd's {len(ours.rates)}")
        run.ratios = [a / b for a, b in zip(ours.rates, run.rates)]
    return TrainStep(", ".join(words), runs)


def read_run(node):
    rates = [value.number(zero=False) for value in node.child("images_per_second").items()]
    if not rates:
        node.child("images_per_second").fail("no round")
    run = EngineRun(node.child("engine").text(), rates)
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
