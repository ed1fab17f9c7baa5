"""Figures as text, for pages and terminals."""

from html import escape


def figure(value):
    """Three significant digits."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if not 1e-3 <= value < 1e7:
        return f"{value:.2e}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def percent(value):
    if value is None:
        return "–"
    return f"{100 * value:.1f}%"  # whole percents would show as 80 what falls short of it


def duration(seconds):
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{figure(seconds * factor)} {unit}"
    return f"{figure(seconds * 1e9)} ns"


def probability(p):
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def times(ratio):
    if ratio is None:
        return "–"
    return f"{ratio:.2f}x" if 0.1 <= ratio < 10 else f"{figure(ratio)}x"


def describe(row):
    """A row's figures, a line each."""
    spread = f", CV {percent(row.variation)}" if row.variation is not None else ""
    lines = [row.name, f"{duration(row.median)}{spread}"]
    if row.gigabytes_per_second:
        lines.append(f"{figure(row.gigabytes_per_second)} GB/s")
    if row.gigaflops:
        lines.append(f"{figure(row.gigaflops)} GFLOP/s")
    if row.share is not None:
        lines.append(f"{percent(row.share)} of its limit")
    if row.ratio:
        lines.append(f"{times(row.ratio)} as fast as {row.library or 'the library'}")
    return "\n".join(lines)


def tooltip(text):
    return f"<title>{escape(text)}</title>"
