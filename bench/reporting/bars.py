"""Bar charts as inline SVG: a row a bar, with its name to the left and its figure as text to the right."""

import math
from dataclasses import dataclass
from html import escape

from .figures import duration, percent, tooltip

WIDTH, NAMES, FIGURES, STEP, THICK, TOP = 1100, 400, 150, 20, 12, 44
LONGEST_NAME = 58
SHARE_LINES = (0.80, 0.85)


@dataclass
class Bar:
    name: str
    value: float
    figure: str  # to the right of all bars
    hover: str
    style: str  # a class of the page's style sheet


def svg(height, parts, label):
    # No size but its proportions: it fills its box, and the style sheet keeps that wide enough to be read.
    return (f'<div class="chart"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
            f'{"".join(parts)}</svg></div>')


def line(x, top, bottom, style):
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def word(x, y, text, style):
    return f'<text class="{style}" x="{x:.1f}" y="{y}">{escape(text)}</text>'


def shortened(name):
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def draw(groups, position, origin, behind, before, label):
    """groups: name -> bars, from `origin` to position(value), between what behind(bottom) and before(bottom) draw."""
    parts, y = [], TOP
    for name, bars in groups.items():
        parts.append(word(0, y + THICK + 2, shortened(name), "group"))
        y += STEP
        for bar in bars:
            end = position(bar.value)
            left, width = min(origin, end), max(abs(end - origin), 1.5)
            parts.append(
                f'<g class="bar">{tooltip(bar.hover)}'
                f'<rect class="hit" x="0" y="{y - 2}" width="{WIDTH}" height="{STEP}"/>'
                + word(NAMES - 10, y + THICK - 1, shortened(bar.name), "name")
                + f'<rect class="{bar.style}" x="{left:.1f}" y="{y + 1}" width="{width:.1f}" height="{THICK}" rx="2"/>'
                + word(WIDTH - FIGURES + 12, y + THICK - 1, bar.figure, "figure") + "</g>"
            )
            y += STEP
        y += 8
    return svg(y + 4, [*behind(y), *parts, *before(y)], label)


def share_chart(groups, label):
    most = max(1.0, *(bar.value for bars in groups.values() for bar in bars))

    def position(share):
        return NAMES + share / most * (WIDTH - FIGURES - NAMES)

    def grid(bottom):
        for share in (0.0, 0.2, 0.4, 0.6, 1.0):
            yield line(position(share), TOP - 6, bottom, "grid")
            yield word(position(share), TOP - 14, f"{100 * share:.0f}%", "tick")

    def goals(bottom):
        for share, style in zip(SHARE_LINES, ("goal before", "goal after")):
            yield line(position(share), TOP - 6, bottom, "goal")
            yield word(position(share), TOP - 14, f"{100 * share:.0f}%", style)

    return draw(groups, position, NAMES, grid, goals, label)


def ratio_ticks(position, low, high):
    """Round ratios on both sides of 1, as many as have room for their figures."""
    above = [round(factor * 10.0**power, 9) for power in range(31) for factor in (1, 1.25, 1.5, 2, 3, 5)]
    below = [round(factor * 10.0**-power, 30) for power in range(1, 31) for factor in (8, 6, 5, 3, 2, 1)]
    ticks = [1.0]
    for candidates in (above, below):
        last = 1.0
        for ratio in candidates:
            if low <= ratio <= high and abs(position(ratio) - position(last)) >= 50:
                ticks.append(ratio)
                last = ratio
    return ticks


def ratio_chart(groups, label, slower, faster):
    """On a logarithmic scale around 1, with what the left and the right mean."""
    values = [bar.value for bars in groups.values() for bar in bars]
    low, high = math.log(min(0.8, *values) * 0.95), math.log(max(1.25, *values) * 1.05)

    def position(ratio):
        return NAMES + (math.log(ratio) - low) / (high - low) * (WIDTH - FIGURES - NAMES)

    def grid(bottom):
        for ratio in ratio_ticks(position, math.exp(low), math.exp(high)):
            yield line(position(ratio), TOP - 6, bottom, "grid")
            yield word(position(ratio), TOP - 14, f"{ratio:g}x", "tick")

    def one(bottom):
        yield line(position(1), TOP - 6, bottom, "axis")
        yield word(position(1) - 40, 12, f"← {slower}", "tick before")
        yield word(position(1) + 40, 12, f"{faster} →", "tick after")

    return draw(groups, position, position(1), grid, one, label)


def phase_chart(groups, styles, label):
    """groups: name -> [(engine, {phase: seconds})], stacked from 0 on."""
    total = max(sum(phases.values()) for runs in groups.values() for _, phases in runs) or 1.0
    scale = (WIDTH - FIGURES - NAMES) / total
    parts, y = [], 4
    for name, runs in groups.items():
        parts.append(word(0, y + THICK + 2, shortened(name), "group"))
        y += STEP
        for engine, phases in runs:
            parts.append(word(NAMES - 10, y + THICK, shortened(engine), "name"))
            x = float(NAMES)
            for phase, seconds in phases.items():
                share = seconds / (sum(phases.values()) or 1.0)
                hover = f"{engine}, {phase}: {duration(seconds)}, {percent(share)} of the step"
                parts.append(
                    f'<g class="bar">{tooltip(hover)}<rect class="{styles[phase]} segment" x="{x:.1f}" y="{y}" '
                    f'width="{seconds * scale:.1f}" height="{THICK + 3}"/></g>'
                )
                x += seconds * scale
            parts.append(word(x + 6, y + THICK, duration(sum(phases.values())), "figure"))
            y += STEP + 2
        y += 8
    return svg(y + 4, parts, label)
