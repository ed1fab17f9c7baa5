"""Turns Google Benchmark's JSON and files of training steps into one page that needs no network, or compares two runs.

    report.py results.json [more.json ...] --out report.html
    report.py --compare before.json after.json [--out report.html] [--alpha 0.05]

Benchmarks write such files with --benchmark_out=results.json --benchmark_out_format=json --benchmark_repetitions=20.
"""

import argparse
import os
import sys

from reporting.figures import duration, probability, times
from reporting.json_node import InputError, load
from reporting.markup import write
from reporting.report_page import report_page
from reporting.results import read_rows, read_source
from reporting.train_steps import read_train_steps

WRONG_INPUT, FOUND_SLOWER = 1, 3
EPILOG = """
A comparison tests each row by itself (two-sided, on the repetitions' times; needs scipy) and corrects for the number of
rows (Holm); a row changed only where that is significant, and "no difference" says that none was shown. Let
alternate.py run the two builds in turn, 20 rounds: what the machine does meanwhile meets both, and rounds are tested in
pairs (Wilcoxon's signed ranks). Two files run one after the other (Mann-Whitney U) differ where the machine changed,
too. 9 repetitions in each are then the least that can tell one row among a thousand.

Exit codes: 0 done, nothing slower; 1 wrong input, or scipy is missing; 2 wrong usage; 3 something is significantly
slower, or has an error that it had not before.
"""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", help="files of Google Benchmark's or of training steps")
    parser.add_argument("--compare", nargs=2, metavar=("BEFORE", "AFTER"), help="two files of Google Benchmark's")
    parser.add_argument("--out", metavar="FILE", help="the page to write; a comparison is printed as well")
    parser.add_argument("--alpha", type=alpha, default=0.05,
                        help="how likely one false finding among all rows may be (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.compare and args.results:
        parser.error("--compare takes two files and no others")
    if not args.compare and not (args.results and args.out):
        parser.error("give result files and --out, or --compare and two files")
    return args


def alpha(text):
    value = float(text)
    if not 1e-9 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not from 1e-9 to 0.5")
    return value


def warn(lines):
    for line in lines:
        print(f"report.py: warning: {line}", file=sys.stderr)


def cut_off(sources):
    return [f"{source.path}: is cut off {source.context['cut_off']}" for source in sources if "cut_off" in source.context]


def require_no_input(out, paths):
    for path in paths:
        if out and os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise InputError(f"{out}: is an input, which would be lost; name another file to write")


def report(paths, out):
    sources, rows, steps = [], [], []
    for number, path in enumerate(paths, start=1):
        root = load(path)
        sources.append(read_source(root, number))
        if root.has("benchmarks"):
            rows += read_rows(root, sources[-1])
        elif root.has("kind") and root.child("kind").text() == "train_step":
            steps += read_train_steps(root)
        else:
            root.fail('neither Google Benchmark\'s results ("benchmarks") nor training steps ("kind": "train_step")')
    warn(cut_off(sources))
    write(out, report_page(sources, rows, steps))
    print(f"{out}: {len(rows)} rows and {len(steps)} training steps of {len(paths)} files")
    return 0


def compare_files(paths, level, out):
    try:
        from reporting.comparison import SLOWER, Paired, Unpaired, compare, differences, in_turn
        from reporting.comparison_page import comparison_page
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in ("scipy", "numpy"):
            raise
        raise InputError(f"comparing needs the Python package {error.name} (Debian: python3-{error.name}), which "
                         f"{sys.executable} lacks") from None
    roots = [load(path) for path in paths]
    sources = [read_source(root, number) for number, root in enumerate(roots, start=1)]
    before, after = (read_repetitions(root, source) for root, source in zip(roots, sources))
    comparison = compare(before, after, level, Paired() if in_turn(*sources) else Unpaired())
    if not comparison.pairs and not comparison.broken:
        raise InputError(f"{sources[0].path} and {sources[1].path} have no row in common that was run")
    doubts = [*cut_off(sources), *differences(*sources)]
    print_comparison(comparison, doubts)
    if out:
        write(out, comparison_page(sources, comparison, doubts))
    return FOUND_SLOWER if comparison.count(SLOWER) or comparison.broken else 0


def read_repetitions(root, source):
    rows = read_rows(root, source)
    for row in rows:
        if not row.error and not row.seconds:
            root.fail(f"{row.name} has aggregates alone, and the test needs each repetition: measure again without "
                      "--benchmark_report_aggregates_only")
    return rows


def print_comparison(comparison, doubts):
    lines = [["row", "before", "after", "times as fast", "p corrected", "verdict"]] + [
        [pair.before.name, duration(pair.before.median), duration(pair.after.median), times(pair.ratio),
         probability(pair.corrected), pair.verdict] for pair in comparison.pairs]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for name, *figures, verdict in lines:
        columns = [text.rjust(width) for text, width in zip(figures, widths[1:])]
        print("  ".join([name.ljust(widths[0]), *columns, verdict]))
    for row in comparison.only_before:
        print(f"only before: {row.name}")
    for row in comparison.only_after:
        print(f"only after: {row.name}")
    for before, after in comparison.not_run:
        print(f"not run: {before.name}: {before.error or after.error}")
    print(f"{comparison.summary} ({comparison.test.name}; p after Holm's correction over {len(comparison.pairs)} "
          f"tests; alpha {comparison.alpha:g})")
    warn(line for line in [*doubts, comparison.warning] if line)


def main(arguments=None):
    args = parse(arguments)
    try:
        require_no_input(args.out, args.compare or args.results)
        if args.compare:
            return compare_files(args.compare, args.alpha, args.out)
        return report(args.results, args.out)
    except InputError as error:
        print(f"report.py: error: {error}", file=sys.stderr)
        return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())
