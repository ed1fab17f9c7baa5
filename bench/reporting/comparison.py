"""Says which rows of two runs differ: a two-sided test a row on the repetitions' times, Wilcoxon's signed ranks of their
ratios where the two were run in turn (alternate.py), so that they come in pairs, else Mann-Whitney's U; with Holm's
correction (Scandinavian Journal of Statistics 6, 1979) for testing many at once.

Google Benchmark's compare.py does the same test, uncorrected, from 9 repetitions by its normal approximation, whose
least p is ten times the exact one there; where no two times are equal, this takes the exact distribution.
"""

import math
from dataclasses import dataclass

from scipy.stats import mannwhitneyu, wilcoxon

from .results import Row

# Of a file's context: what changes times without a change of the code.
SURROUNDINGS = ("host_name", "device_cpu", "num_cpus", "device_cuda", "driver", "clocks", "compiler",
                "library_build_type", "cpu_scaling_enabled")
FASTER, SLOWER, SAME, TOO_FEW = "faster", "slower", "no difference", "too few repetitions"


@dataclass
class Pair:
    before: Row
    after: Row
    p: float = 1.0  # of this row alone
    corrected: float = 1.0
    verdict: str = SAME

    @property
    def ratio(self):
        """How many times as fast it became."""
        return self.before.median / self.after.median


@dataclass
class Comparison:
    alpha: float
    test: "Test"
    pairs: list
    only_before: list
    only_after: list
    not_run: list  # in both files, but not run in one of them or in both

    @property
    def summary(self):
        verdicts = (FASTER, SLOWER, SAME, *[TOO_FEW] * (self.count(TOO_FEW) > 0))
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in verdicts)
        return f"{len(self.pairs)} rows in both files: {counts}"

    @property
    def warning(self):
        """One line where repetitions are too few for a verdict, else nothing."""
        few = [pair for pair in self.pairs if pair.verdict == TOO_FEW]
        if not few:
            return ""
        level = self.alpha / len(self.pairs)
        fewest = min(min(len(pair.before.seconds), len(pair.after.seconds)) for pair in few)
        return (f"{len(few)} of {len(self.pairs)} rows have too few repetitions, {fewest} at the fewest, for any "
                f"verdict: alpha over {len(self.pairs)} tests is {level:.2g}, which takes {self.test.enough(level)} in each file")

    def count(self, verdict):
        return sum(pair.verdict == verdict for pair in self.pairs)


def differences(before, after):
    """What makes a comparison of two sources doubtful, a line each."""
    values = {key: [source.context.get(key) or "none" for source in (before, after)] for key in SURROUNDINGS}
    return [f"the files differ in {key}: {a} before, {b} after" for key, (a, b) in values.items() if a != b]


class Test:
    """Of two samples of times."""

    def least_p(self, count, other):
        """Of two samples of these sizes that differ as much as they can."""
        return self.p_value(range(1, 1 + count), range(1 + count, 1 + count + other))

    def enough(self, level):
        """The least number of repetitions, in both files, whose test can reach that level."""
        count = 1
        while self.least_p(count, count) > level:
            count += 1
        return count


class Unpaired(Test):
    name = "Mann-Whitney U, two-sided"

    def p_value(self, before, after):
        distinct = len({*before, *after}) == len(before) + len(after)
        method = "exact" if distinct else "asymptotic"
        return float(mannwhitneyu(before, after, alternative="two-sided", method=method).pvalue)


class Paired(Test):
    name = "Wilcoxon signed ranks of the rounds' ratios, two-sided"

    def p_value(self, before, after):
        ratios = [math.log(a / b) for a, b in zip(after, before)]
        return float(wilcoxon(ratios).pvalue) if any(ratios) else 1.0

    def least_p(self, count, other):
        return 2.0 ** (1 - min(count, other))


def test_for(before, after):
    """For two sources: paired where one run of alternate.py made both."""
    run = before.context.get("alternated")
    return Paired() if run and run == after.context.get("alternated") else Unpaired()


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
        pair.p = test.p_value(pair.before.seconds, pair.after.seconds)
    correct(pairs)
    for pair in pairs:
        if pair.corrected <= alpha and pair.ratio != 1:
            pair.verdict = FASTER if pair.ratio > 1 else SLOWER
        elif test.least_p(len(pair.before.seconds), len(pair.after.seconds)) > alpha / len(pairs):
            pair.verdict = TOO_FEW
    return Comparison(
        alpha, test, pairs,
        only_before=[row for name, row in before.items() if name not in after],
        only_after=[row for name, row in after.items() if name not in before],
        not_run=[(a, b) for a, b in both if a.error or b.error],
    )
