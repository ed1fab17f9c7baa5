"""Says which rows of two runs differ: a two-sided test a row on the repetitions' times, Wilcoxon's signed ranks of their
ratios where the two were run in turn (alternate.py), so that they come in pairs, else Mann-Whitney's U; with Holm's
correction (Scandinavian Journal of Statistics 6, 1979) for testing many at once.

Google Benchmark's compare.py does the U test, uncorrected, from 9 repetitions by its normal approximation, whose least p
is ten times the exact one there; where no two times are equal, this takes the exact distribution.
"""

import itertools
import math
import statistics
from dataclasses import dataclass

from scipy.stats import mannwhitneyu, wilcoxon

from .results import Row

# Of a file's context: what changes times without a change of the code.
SURROUNDINGS = ("host_name", "device_cpu", "cpu_features", "num_cpus", "device_cuda", "driver", "clocks", "compiler",
                "library_build_type", "cpu_scaling_enabled")
FASTER, SLOWER, SAME, TOO_FEW = "faster", "slower", "no difference", "too few repetitions"
DRIFT = 1.1  # limits measured that far apart are of another machine, or of one with other work


@dataclass
class Pair:
    before: Row
    after: Row
    ratio: float = 1.0  # how many times as fast it became
    p: float = 1.0  # of this row alone
    corrected: float = 1.0
    verdict: str = SAME


@dataclass
class Comparison:
    alpha: float
    test: "Unpaired | Paired"
    pairs: list
    only_before: list
    only_after: list
    not_run: list  # in both files, but not run in one of them or in both

    @property
    def summary(self):
        verdicts = (FASTER, SLOWER, SAME, *[TOO_FEW] * (self.count(TOO_FEW) > 0))
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in verdicts)
        broken = f"; {len(self.broken)} that ran before did not run" if self.broken else ""
        return f"{len(self.pairs)} rows in both files: {counts}{broken}"

    @property
    def broken(self):
        """Rows that were run before and have an error after, such as results that are wrong."""
        return [after for before, after in self.not_run if not before.error]

    @property
    def warning(self):
        """One line where repetitions are too few for a verdict, else nothing."""
        few = [pair for pair in self.pairs if pair.verdict == TOO_FEW]
        if not few:
            return ""
        level = self.alpha / len(self.pairs)
        fewest = min(min(len(pair.before.seconds), len(pair.after.seconds)) for pair in few)
        return (f"{len(few)} of {len(self.pairs)} rows have too few repetitions, {fewest} at the fewest, for any "
                f"verdict: alpha over {len(self.pairs)} tests is {level:.2g}, which takes {enough(self.test, level)} in "
                "each file")

    def count(self, verdict):
        return sum(pair.verdict == verdict for pair in self.pairs)


def differences(before, after):
    """What makes a comparison of two sources doubtful, a line each. Clocks that change meet builds in turn alike."""
    keys = [key for key in SURROUNDINGS if key != "clocks" or not in_turn(before, after)]
    values = {key: [source.context.get(key) or "none" for source in (before, after)] for key in keys}
    doubts = [f"the files differ in {key}: {a} before, {b} after" for key, (a, b) in values.items() if a != b]
    if in_turn(before, after):
        return doubts
    doubts.append("the files were run one after the other: what the machine did meanwhile counts as a change; alternate.py "
                  "runs two builds in turn")
    for key in sorted(before.limits.keys() & after.limits.keys()):
        a, b = before.limits[key], after.limits[key]
        if max(a, b) > DRIFT * min(a, b):
            doubts.append(f"the machine changed: its limit {' '.join(key)} was {a:.4g} before, {b:.4g} after")
    return doubts


def in_turn(before, after):
    """Whether one run of alternate.py made both."""
    run = before.context.get("alternated")
    return bool(run) and run == after.context.get("alternated")


class Unpaired:
    """Of two rows whose repetitions have nothing to do with each other."""

    name = "Mann-Whitney U, two-sided"

    def ratio(self, before, after):
        return before.median / after.median

    def p_value(self, before, after):
        return self._p(before.seconds, after.seconds)

    def least_p(self, before, after):
        """Of samples as large that differ as much as they can."""
        return self.least_of(len(before.seconds), len(after.seconds))

    def least_of(self, count, other):
        return self._p(range(count), range(count, count + other))

    @staticmethod
    def _p(before, after):
        distinct = len({*before, *after}) == len(before) + len(after)
        method = "exact" if distinct else "asymptotic"
        return float(mannwhitneyu(before, after, alternative="two-sided", method=method).pvalue)


class Paired:
    """Of two rows whose repetitions of one number were run one after the other."""

    name = "Wilcoxon's signed ranks of the rounds' ratios, two-sided"
    MOST_EXACT = 50  # rounds; more go by the normal approximation

    def ratio(self, before, after):
        """Hodges and Lehmann's estimate, whose sign is that of the ranks."""
        logs = self._logs(before, after)
        means = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(logs, 2)]
        return math.exp(statistics.median(means)) if means else 1.0

    def p_value(self, before, after):
        logs = [value for value in self._logs(before, after) if value != 0]
        if not logs:
            return 1.0
        return float(wilcoxon(logs, method="exact" if len(logs) <= self.MOST_EXACT else "approx").pvalue)

    def least_p(self, before, after):
        return self.least_of(sum(value != 0 for value in self._logs(before, after)), math.inf)

    def least_of(self, count, other):
        return min(1.0, 2.0 ** (1 - min(count, other)))

    @staticmethod
    def _logs(before, after):
        """Of each round that both have."""
        second = dict(zip(after.repetitions, after.seconds))
        return [math.log(time / second[number]) for number, time in zip(before.repetitions, before.seconds)
                if number in second]


def enough(test, level):
    """The least number of repetitions, in both files, whose test can reach that level."""
    count = 1
    while test.least_of(count, count) > level:
        count += 1
    return count


def correct(pairs):
    """Holm: of m tests in order of their p, the k-th (from 0) must stay below alpha / (m - k), as those before it."""
    largest = 0.0
    for k, pair in enumerate(sorted(pairs, key=lambda pair: pair.p)):
        largest = max(largest, min(1.0, (len(pairs) - k) * pair.p))
        pair.corrected = largest


def compare(rows_before, rows_after, alpha, test):
    before, after = ({row.name: row for row in rows} for rows in (rows_before, rows_after))
    both = [(row, after[name]) for name, row in before.items() if name in after]
    pairs = [Pair(a, b) for a, b in both if not a.error and not b.error]
    for pair in pairs:
        pair.ratio = test.ratio(pair.before, pair.after)
        pair.p = test.p_value(pair.before, pair.after)
    correct(pairs)
    for pair in pairs:
        if pair.corrected <= alpha and pair.ratio != 1:
            pair.verdict = FASTER if pair.ratio > 1 else SLOWER
        elif test.least_p(pair.before, pair.after) > alpha / len(pairs):
            pair.verdict = TOO_FEW
    return Comparison(
        alpha, test, pairs,
        only_before=[row for name, row in before.items() if name not in after],
        only_after=[row for name, row in after.items() if name not in before],
        not_run=[(a, b) for a, b in both if a.error or b.error],
    )
