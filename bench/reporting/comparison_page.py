"""The page of a comparison of two runs."""

from . import bars, markup
from .comparison import FASTER, SAME, SLOWER
from .figures import duration, probability, times
from .report_page import context_table

STYLES = {FASTER: "blue", SLOWER: "red"}


def method(comparison):
    return (f"{comparison.test.name}, on the repetitions' times, a test a row; p after Holm's correction over "
            f"{len(comparison.pairs)} tests, alpha {comparison.alpha:g}. It says whether the two runs differ; that the "
            "code made the difference, not clocks or neighbours on the machine, builds that run in turn must show.")


def chart(pairs):
    groups = {}
    for pair in sorted(pairs, key=lambda pair: -pair.ratio):
        hover = (f"{pair.before.name}\n{duration(pair.before.median)} before, {duration(pair.after.median)} after\n"
                 f"{times(pair.ratio)} as fast, p {probability(pair.corrected)}")
        label = " ".join(part for part in (pair.before.label, pair.before.device) if part)
        groups.setdefault(pair.before.family, []).append(
            bars.Bar(label, pair.ratio, f"{times(pair.ratio)} as fast", hover, STYLES[pair.verdict]))
    return bars.ratio_chart(groups, "Time before over time after", "slower", "faster")


def pair_cells(pair):
    return [
        markup.cell(pair.before.name),
        markup.cell(duration(pair.before.median), pair.before.median),
        markup.cell(duration(pair.after.median), pair.after.median),
        markup.cell(times(pair.ratio), pair.ratio),
        markup.cell(probability(pair.p), pair.p),
        markup.cell(probability(pair.corrected), pair.corrected),
        markup.cell(f"{len(pair.before.seconds)}, {len(pair.after.seconds)}"),
        markup.cell(pair.verdict, style=pair.verdict if pair.verdict in STYLES else "none"),
    ]


def unpaired(comparison):
    lines = [[markup.cell(row.name), markup.cell(f"only in {where}")]
             for rows, where in ((comparison.only_before, "the file before"), (comparison.only_after, "the file after"))
             for row in rows]
    lines += [[markup.cell(before.name), markup.cell(f"not run: {before.error or after.error}")]
              for before, after in comparison.not_run]
    return markup.section("Not compared", markup.card(markup.table(["name", "why"], lines, style=""))) if lines else ""


def comparison_page(sources, comparison, differences):
    order = {SLOWER: 0, FASTER: 1}
    pairs = sorted(comparison.pairs, key=lambda pair: (order.get(pair.verdict, 2), pair.ratio))
    changed = [pair for pair in pairs if pair.verdict in STYLES]
    heads = ["name", "before#", "after#", "times as fast#", "p#", "p corrected#", "repetitions", "verdict"]
    return markup.page(
        "cytograd benchmarks, before and after",
        markup.paragraph(comparison.summary),
        markup.paragraph(method(comparison)),
        markup.paragraph(comparison.warning, "warn"),
        *(markup.paragraph(difference, "warn") for difference in differences),
        markup.section("What changed", markup.card(chart(changed)) if changed else ""),
        markup.section("All rows in both files",
                       markup.card(markup.table(heads, map(pair_cells, pairs)), style="rows")),
        unpaired(comparison),
        context_table(sources))
