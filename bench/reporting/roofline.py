"""A roofline plot (Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009) as inline SVG: operations a
byte against GFLOP/s, a point a row, below the roofs that were measured on the same machine."""

import math
from dataclasses import dataclass
from html import escape

from .figures import describe, figure, tooltip

WIDTH, HEIGHT = 620, 420
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 16, 46


@dataclass
class Point:
    row: object
    intensity: float
    gigaflops: float


def points_of(rows):
    """Of rows that compute something; what only moves bytes has no place on a logarithmic scale."""
    points = []
    for row in rows:
        operations, bytes_moved = row.counters.get("operations"), row.counters.get("bytes")
        if operations and bytes_moved and row.gigaflops:
            points.append(Point(row, operations / bytes_moved, row.gigaflops))
    return points


class LogScale:
    def __init__(self, low, high, start, end):
        self.low, self.high = math.log10(low), math.log10(high)
        self.start, self.pixels_per_decade = start, (end - start) / (self.high - self.low)

    def __call__(self, value):
        return self.start + (math.log10(value) - self.low) * self.pixels_per_decade

    def ticks(self):
        step = max(1, math.ceil((self.high - self.low) / 7))
        return [10.0**power for power in range(math.ceil(self.low / step) * step, math.floor(self.high) + 1, step)]


def marker(point, x, y, style):
    colour, shape = style
    hollow = "" if point.row.in_production else " hollow"
    if shape == 0:
        drawn = f'<circle class="mark {colour}{hollow}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    else:
        square, triangle = [(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)], [(0, -6), (5.5, 4.5), (-5.5, 4.5)]
        path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in (square if shape == 1 else triangle))
        drawn = f'<polygon class="mark {colour}{hollow}" points="{path}"/>'
    return f"<g>{tooltip(describe(point.row))}{drawn}</g>"


def roofline(points, bandwidths, peak, styles, label):
    """bandwidths: name -> GB/s; peak: GFLOP/s or None; styles: family -> (colour class, shape)."""
    ridges = [peak / bandwidth for bandwidth in bandwidths.values()] if peak else []
    intensities = [point.intensity for point in points] + ridges
    rates = [point.gigaflops for point in points]
    x = LogScale(min(intensities) / 2, max(intensities) * 4, LEFT, WIDTH - RIGHT)
    roofs = [peak] if peak else [max(bandwidths.values()) * max(intensities)] if bandwidths else []
    y = LogScale(min(rates + roofs) / 3, max(rates + roofs) * 2, HEIGHT - BOTTOM, TOP)

    parts = []
    for tick in x.ticks():
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
                     f'<text class="tick" x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}">{short(tick)}</text>')
    for tick in y.ticks():
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
                     f'<text class="tick after" x="{LEFT - 34}" y="{y(tick) + 4:.1f}">{short(tick)}</text>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="tick" x="{middle_x}" y="{HEIGHT - 8}">operations per byte</text>'
                 f'<text class="tick" transform="translate(14 {middle_y}) rotate(-90)">GFLOP/s</text>')
    parts += [*memory_roofs(x, y, bandwidths, peak), *compute_roof(x, y, bandwidths, peak)]
    parts += [marker(point, x(point.intensity), y(point.gigaflops), styles[point.row.family]) for point in points]
    return (f'<svg class="roofline" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
            f'{"".join(parts)}</svg>')


def memory_roofs(x, y, bandwidths, peak):
    slope = math.degrees(math.atan2(y.pixels_per_decade, x.pixels_per_decade))
    names = ", ".join(f"{name} {figure(bandwidth)}" for name, bandwidth in bandwidths.items())
    highest = max(bandwidths.values(), default=None)
    for bandwidth in bandwidths.values():
        # From the plot's left or lower edge to the ridge, or to its other edges where nothing is known of computing.
        start = max(10**x.low, 10**y.low / bandwidth)
        end = peak / bandwidth if peak else min(10**x.high, 10**y.high / bandwidth)
        yield (f'<line class="roof" x1="{x(start):.1f}" y1="{y(start * bandwidth):.1f}" '
               f'x2="{x(end):.1f}" y2="{y(end * bandwidth):.1f}"/>')
        if bandwidth == highest:  # its name and the others': they are close, and below this one there are points
            middle = math.sqrt(start * end)
            yield (f'<text class="roof-name" transform="translate({x(middle):.1f} {y(middle * bandwidth):.1f}) '
                   f'rotate({slope:.1f})" dy="-6">{names} GB/s</text>')
            highest = None


def compute_roof(x, y, bandwidths, peak):
    if not peak:
        return
    start = x(peak / max(bandwidths.values())) if bandwidths else LEFT
    yield f'<line class="roof" x1="{start:.1f}" x2="{WIDTH - RIGHT}" y1="{y(peak):.1f}" y2="{y(peak):.1f}"/>'
    yield (f'<text class="roof-name before" x="{WIDTH - RIGHT - 4}" y="{y(peak) - 6:.1f}">'
           f'matrix product {figure(peak)} GFLOP/s</text>')


def short(tick):
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tick >= factor:
            return f"{tick / factor:g}{unit}"
    return f"{tick:g}"
