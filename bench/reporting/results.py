"""Reads Google Benchmark's JSON into rows, one a benchmark, and what a file says of where it was measured."""

import re
import statistics
from dataclasses import dataclass, field

from .json_node import LEAST, MOST, clean

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
COUNTERS = ("bytes", "operations", "GB/s", "GFLOP/s", "share_of_limit", "library_ratio")
# What Google Benchmark appends to a name for a benchmark's settings.
SETTING = re.compile(
    r"(/(manual_time|real_time|process_time|(iterations|repeats|threads|min_time|min_warmup_time):[^/]*))+$")
LIMIT = re.compile(r"limit_(copy|read)_GB/s_(\w+)|limit_matmul_GFLOP/s_(\w+)_(\w+)")


@dataclass
class Row:
    """One benchmark. A name that is not <family>/<case>/<pass>/<dtype>/<device>/<variant> has family and case alone."""

    name: str
    source: "Source"
    family: str = ""
    case: str = ""
    pass_name: str = ""
    dtype: str = ""
    device: str = ""
    variant: str = ""
    seconds: list = field(default_factory=list)  # of an iteration; one a repetition
    repetitions: list = field(default_factory=list)  # their numbers, as the file gives them; else from 0
    median: float = 0.0
    variation: float | None = None  # coefficient of variation over the repetitions
    counters: dict = field(default_factory=dict)  # COUNTERS that were given, medians over the repetitions
    library: str = ""
    error: str = ""  # why it was not run

    def __post_init__(self):
        self.family, *parts = self.name.split("/")
        if len(parts) >= 5:
            self.pass_name, self.dtype, self.device, self.variant = parts[-4:]
            parts = parts[:-4]
        self.case = "/".join(parts)

    @property
    def label(self):
        """The name within its family and device."""
        parts = [self.case, self.pass_name, self.dtype, "" if self.in_production else self.variant]
        return " ".join(part for part in parts if part) or self.name

    @property
    def in_production(self):
        return self.variant in ("", "production")

    @property
    def share(self):
        return self.counters.get("share_of_limit")

    @property
    def ratio(self):
        """Library time over ours."""
        return self.counters.get("library_ratio") or None

    @property
    def gigabytes_per_second(self):
        return self.counters.get("GB/s") or self._rate("bytes")

    @property
    def gigaflops(self):
        return self.counters.get("GFLOP/s") or self._rate("operations")

    def _rate(self, counter):
        amount = self.counters.get(counter)
        return amount / self.median / 1e9 if amount else None


@dataclass
class Source:
    """What is known of where and how a file was measured."""

    path: str
    number: int  # among the files of the page, from 1
    context: dict  # key -> text
    limits: dict  # (device, "copy" | "read") -> GB/s, (device, "matmul", dtype) -> GFLOP/s

    def device_name(self, device):
        return self.context.get(f"device_{device}", "")


def read_source(root, number):
    context, limits = {}, {}
    node = root.child("context") if root.has("context") else None
    for key, value in node.object().items() if node else ():
        context[clean(key)] = context_text(value)
        match = LIMIT.fullmatch(key)
        if match:
            limit = node.child(key)
            try:
                number_read = float(value)  # custom context is text
            except (TypeError, ValueError):
                number_read = 0.0
            if not LEAST <= number_read <= MOST:
                limit.fail(f"{clean(repr(value)[:40])} is not a limit")
            memory, device, dtype, matmul_device = match.groups()
            limits[(device, memory) if memory else (matmul_device, "matmul", dtype)] = number_read
    return Source(clean(root.file), number, context, limits)


def context_text(value):
    if isinstance(value, list):  # of loads; of objects, the caches, nothing
        return ", ".join(context_text(item) for item in value if not isinstance(item, (dict, list)))
    if isinstance(value, dict) or value is None:
        return ""
    return clean(str(value)) if not isinstance(value, bool) else str(value).lower()


def read_rows(root, source):
    """One Row a benchmark, in the file's order."""
    rows, repetitions, aggregates = {}, {}, {}
    for entry in root.child("benchmarks").items():
        full_name = entry.child("run_name" if entry.has("run_name") else "name").text()
        name = SETTING.sub("", full_name)
        aggregate = entry.has("run_type") and entry.child("run_type").text() == "aggregate"
        kind = entry.child("aggregate_name").text() if aggregate and entry.has("aggregate_name") else ""
        if aggregate and kind not in ("median", "mean", "cv"):
            continue
        row = rows.setdefault(name, Row(name, source))
        if entry.has("label"):
            row.library = entry.child("label").text()
        reason = reason_not_run(entry)
        if reason:
            row.error = row.error or reason
        elif aggregate:
            aggregates.setdefault(name, {})[kind] = entry
        else:
            repetitions.setdefault(name, []).append(entry)
            row.repetitions.append(int(entry.child("repetition_index").counter() or 0)
                                   if entry.has("repetition_index") else len(row.seconds))
            row.seconds.append(seconds(entry))
    for name, row in rows.items():
        if not row.error:
            summarise(row, repetitions.get(name, []), aggregates.get(name, {}))
    # An aggregate that was left out may be all there is of a name: a fitted complexity, say.
    return [row for row in rows.values() if row.error or row.median]


def reason_not_run(entry):
    """None, or why: Google Benchmark before 1.8 has errors alone, later ones skip as well."""
    for flag, message in (("error_occurred", "error_message"), ("skipped", "skip_message")):
        if entry.has(flag) and entry.value[flag]:
            return (entry.child(message).text() if entry.has(message) else "") or "no reason was given"
    return None


def seconds(entry):
    unit = entry.child("time_unit") if entry.has("time_unit") else None
    if unit and unit.text() not in SECONDS:
        unit.fail(f"{clean(repr(unit.value)[:40])} is not a unit of time ({', '.join(SECONDS)})")
    return entry.child("real_time").number(zero=False) * SECONDS[unit.value if unit else "ns"]


def summarise(row, repetitions, aggregates):
    """Medians and spread: of the repetitions, or what Google Benchmark wrote of them where it left them out."""
    if repetitions:
        row.median = statistics.median(row.seconds)
        if len(row.seconds) > 1:
            row.variation = statistics.stdev(row.seconds) / statistics.fmean(row.seconds)
    else:
        centre = aggregates.get("median") or aggregates.get("mean")
        if centre is None:
            return
        repetitions = [centre]
        row.median = seconds(centre)
        if "cv" in aggregates:
            row.variation = aggregates["cv"].child("real_time").counter()
    for counter in COUNTERS:
        values = [entry.child(counter).counter() for entry in repetitions if entry.has(counter)]
        values = [value for value in values if value is not None]
        if values:
            row.counters[counter] = statistics.median(values)
