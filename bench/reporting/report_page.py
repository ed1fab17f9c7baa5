"""The page of one or more files of results: what was measured where, and how far from the limits and the libraries."""

from html import escape

from . import bars, markup, roofline
from .figures import describe, duration, figure, percent, times
from .train_steps import PHASES, median

COLOURS = ("blue", "orange", "aqua", "violet", "yellow", "magenta", "green", "red")
SHAPES = 3  # of markers, once the colours are used up
CONTEXT_FIRST = ("date", "host_name", "executable", "commit", "compiler", "library_build_type", "device_cpu", "cpu_features",
                 "num_cpus", "mhz_per_cpu", "cpu_scaling_enabled", "load_avg", "device_cuda", "cuda", "driver",
                 "clocks")

CAUTIONS = (
    ("library_build_type", "debug", "Google Benchmark was a debug build."),
    ("cpu_scaling_enabled", "true", "The processor's clock was free to change; times may be noisy."),
)


def context_table(sources):
    keys = {key for source in sources for key, text in source.context.items() if text}
    ordered = [key for key in CONTEXT_FIRST if key in keys] + sorted(keys - set(CONTEXT_FIRST))
    rows = [[markup.cell(key, style="note"), *(markup.cell(source.context.get(key, "")) for source in sources)]
            for key in ordered]
    heads = ["", *(f"{source.number}. {source.path}" for source in sources)]
    cautions = []
    for key, value, caution in CAUTIONS:
        numbers = [str(source.number) for source in sources if source.context.get(key) == value]
        cautions.append(markup.paragraph(f"{caution} (file {', '.join(numbers)})", "warn") if numbers else "")
    return markup.section("Where it was measured", *cautions, markup.card(markup.table(heads, rows, style="")))


def by_device(rows):
    """Rows that share a roof: (device, its name) -> rows."""
    groups = {}
    for row in rows:
        groups.setdefault((row.device, row.source.device_name(row.device)), []).append(row)
    return dict(sorted(groups.items()))


def device_title(device, name):
    return ", ".join(part for part in (device or "device not named", name) if part)


def by_family(rows, value):
    """Families by the median of their rows, highest first, and so their rows."""
    families = {}
    for row in sorted(rows, key=value, reverse=True):
        families.setdefault(row.family, []).append(row)
    return dict(sorted(families.items(), key=lambda item: -value(item[1][len(item[1]) // 2])))


def family_styles(rows):
    families = sorted({row.family for row in rows})
    return {family: (COLOURS[i % len(COLOURS)], i // len(COLOURS) % SHAPES) for i, family in enumerate(families)}


def limit(rows, *key):
    """The highest that any of the rows' files measured."""
    return max((row.source.limits[key] for row in rows if key in row.source.limits), default=None)


def rooflines(rows):
    styles = family_styles(rows)
    plots, families, left_out = [], set(), 0
    for (device, name), device_rows in by_device(row for row in rows if row.device).items():
        for dtype in sorted({row.dtype for row in device_rows}):
            points = roofline.points_of(row for row in device_rows if row.dtype == dtype)
            left_out += sum(row.dtype == dtype for row in device_rows) - len(points)
            if not points:
                continue
            bandwidths = {kind: limit(device_rows, device, kind) for kind in ("read", "copy")}
            bandwidths = {kind: bandwidth for kind, bandwidth in bandwidths.items() if bandwidth}
            peak = limit(device_rows, device, "matmul", dtype)
            title = f"{device_title(device, name)}, {dtype}"
            missing = ["bandwidth"] * (not bandwidths) + ["matrix products"] * (not peak)
            note = f"Not measured here: {' and '.join(missing)}." if missing else ""
            plots.append(markup.card(f"<h3>{escape(title)}</h3>", markup.paragraph(note),
                                     roofline.roofline(points, bandwidths, peak, styles, f"Roofline of {title}")))
            families |= {point.row.family for point in points}
    if not plots:
        return ""
    legend = [legend_entry(family, *styles[family]) for family in sorted(families)]
    if any(not row.in_production for row in rows):
        legend.append("<span>hollow: variants that are not in production</span>")
    note = f"Not shown, without operations: {left_out}. " if left_out else ""
    return markup.section(
        "Rooflines",
        markup.paragraph(f"A point a benchmark; hover for its figures. {note}Roofs are measured on the same machine."),
        f'<div class="legend">{"".join(legend)}</div><div class="plots">{"".join(plots)}</div>')


def legend_entry(name, colour, shape=0):
    drawn = (f'<circle class="{colour}" cx="7" cy="7" r="5"/>',
             f'<rect class="{colour}" x="2.5" y="2.5" width="9" height="9"/>',
             f'<polygon class="{colour}" points="7,1.5 12.5,12 1.5,12"/>')[shape]
    return f'<span><svg viewBox="0 0 14 14">{drawn}</svg>{escape(name)}</span>'


def shares(rows):
    rows = [row for row in rows if row.share is not None]
    parts = []
    for (device, name), device_rows in by_device(rows).items():
        groups = {
            family: [bars.Bar(row.label, row.share, percent(row.share), describe(row),
                              "blue" if row.in_production else "plain") for row in family_rows]
            for family, family_rows in by_family(device_rows, lambda row: row.share).items()
        }
        title = device_title(device, name)
        ours = [row.share for row in device_rows if row.in_production]
        counts = ", ".join(f"{sum(share >= goal for share in ours)} of {len(ours)} reach {100 * goal:.0f}%"
                           for goal in reversed(bars.SHARE_LINES))
        parts.append(f"<h3>{escape(title)}</h3>" + markup.paragraph(f"In production, {counts}." if ours else "")
                     + markup.card(bars.share_chart(groups, f"Share of limit, {title}")))
    if not parts:
        return ""
    return markup.section(
        "Share of limit",
        markup.paragraph("The least time that the measured limits allow for the bytes and operations, over the time it "
                         "took. Grey: variants that are not in production."),
        *parts)


def ratios(rows):
    rows = [row for row in rows if row.ratio]
    parts = []
    for (device, name), device_rows in by_device(rows).items():
        groups = {
            family: [bars.Bar(row.label, row.ratio, f"{times(row.ratio)} {row.library}", describe(row),
                              ratio_style(row)) for row in family_rows]
            for family, family_rows in by_family(device_rows, lambda row: row.ratio).items()
        }
        title = device_title(device, name)
        ours = [row.ratio for row in device_rows if row.in_production]
        counts = f"In production, {sum(ratio >= 1 for ratio in ours)} of {len(ours)} are at least as fast."
        parts.append(f"<h3>{escape(title)}</h3>" + markup.paragraph(counts if ours else "") + markup.card(
            bars.ratio_chart(groups, f"Ratio to the library, {title}", "library faster", "cytograd faster")))
    if not parts:
        return ""
    return markup.section(
        "Beside the libraries",
        markup.paragraph("The library's time over cytograd's, on a logarithmic scale. Grey: variants that are not in "
                         "production."),
        *parts)


def ratio_style(row):
    if not row.in_production:
        return "plain"
    return "blue" if row.ratio >= 1 else "red"


def row_table(rows, many_files):
    heads = ["name", "median#", "CV#", "repetitions#", "GB/s#", "GFLOP/s#", "share#", "library", "ratio#"]
    return markup.section("All rows", markup.card(markup.table(heads + ["file#"] * many_files, [
        [*row_cells(row), *[markup.cell(str(row.source.number), row.source.number)] * many_files] for row in rows
    ]), style="rows")) if rows else ""


def row_cells(row):
    spread = f"{duration(min(row.seconds))} to {duration(max(row.seconds))}" if row.seconds else ""
    return [
        markup.cell(row.name, hover=spread),
        markup.cell(duration(row.median), row.median),
        markup.cell(percent(row.variation), row.variation),
        markup.cell(str(len(row.seconds)) if row.seconds else "–", len(row.seconds) or None),
        markup.cell(figure(row.gigabytes_per_second), row.gigabytes_per_second),
        markup.cell(figure(row.gigaflops), row.gigaflops),
        markup.cell(percent(row.share), row.share),
        markup.cell(row.library),
        markup.cell(times(row.ratio), row.ratio),
    ]


def not_run_table(rows):
    return markup.section("Not run", markup.card(markup.table(
        ["name", "not run", "file#"],
        [[markup.cell(row.name), markup.cell(row.error), markup.cell(str(row.source.number), row.source.number)]
         for row in rows], style=""))) if rows else ""


def train_steps(steps):
    if not steps:
        return ""
    groups = {}
    for step in steps:
        phases = [(run.engine, run.phases) for run in step.runs if run.phases]
        if phases:
            groups.setdefault(step.title, []).extend(phases)
    return markup.section(
        "Training steps",
        markup.paragraph("Rounds of the engines alternate; a ratio is the median of the rounds' ratios, cytograd's "
                         "images a second over the other's. Inference: passes in evaluation."),
        markup.card(markup.table(
            ["step", "engine", "images/s#", "least#", "most#", "rounds#", "ratio#", "least ratio#", "most ratio#",
             "peak MiB#", "share#", "inference/s#", "its ratio#", "remark"],
            [[markup.cell(step.title, style="line"), *run_cells(run)] for step in steps for run in step.runs])),
        phase_section(groups))


def run_cells(run):
    def rate_cells(values):
        return [markup.cell(figure(value), value) for value in values]

    def ratio_cells(values):
        return [markup.cell(times(value), value) for value in values]

    return [
        markup.cell(run.engine, style="line"),
        *rate_cells([median(run.rates), min(run.rates, default=None), max(run.rates, default=None)]),
        markup.cell(str(len(run.rates)), len(run.rates)),
        *ratio_cells([median(run.ratios), min(run.ratios, default=None), max(run.ratios, default=None)]),
        markup.cell(figure(run.peak_mib), run.peak_mib),
        markup.cell(percent(run.share), run.share),
        *rate_cells([median(run.inference_rates)]), *ratio_cells([median(run.inference_ratios)]),
        markup.cell("; ".join(run.remarks)),
    ]


def phase_section(groups):
    if not groups:
        return ""
    names = [phase for runs in groups.values() for _, phases in runs for phase in phases]
    names = sorted(dict.fromkeys(names), key=lambda name: PHASES.index(name) if name in PHASES else len(PHASES))
    styles = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    legend = "".join(legend_entry(name, style, 1) for name, style in styles.items())
    rows = [[markup.cell(title), markup.cell(engine), *(phase_cell(phases.get(name)) for name in names)]
            for title, runs in groups.items() for engine, phases in runs]
    return (f'<h3>Time a step by phase</h3><div class="legend">{legend}</div>'
            + markup.card(bars.phase_chart(groups, styles, "Time a step by phase"))
            + markup.card(markup.table(["step", "engine", *(f"{name}#" for name in names)], rows)))


def phase_cell(seconds):
    return markup.cell("–" if seconds is None else duration(seconds), seconds)


def report_page(sources, rows, steps):
    run = [row for row in rows if not row.error]
    not_run = [row for row in rows if row.error]
    return markup.page(
        "cytograd benchmarks",
        context_table(sources), train_steps(steps), rooflines(run), shares(run), ratios(run),
        row_table(run, len(sources) > 1), not_run_table(not_run))
