"""What bench/report.py promises: pages that stand alone and show what was measured, comparisons that find a change and
nothing else, and errors that name file and place."""

import contextlib
import html.parser
import importlib.util
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))
import report  # noqa: E402
from reporting import json_node  # noqa: E402

NAME = "batchnorm_act/train_8x28x28x128/forward/f32/cpu/production"
CONTEXT = {
    "date": "2025-11-03T14:02:11+01:00", "host_name": "node-7", "num_cpus": 2, "load_avg": [0.25, 0.5, 1.0],
    "caches": [{"type": "Data", "level": 1}], "library_build_type": "release", "commit": "0123abc",
    "compiler": "GNU 12.2.0", "device_cpu": "Some CPU", "cuda": "no NVIDIA driver", "limit_copy_GB/s_cpu": "18.2",
    "limit_read_GB/s_cpu": "21.4", "limit_matmul_GFLOP/s_f32_cpu": "148",
}


def repetitions(times, name=NAME, **more):
    """Entries as Google Benchmark writes them, times in microseconds."""
    return [
        {"name": f"{name}/manual_time", "run_name": f"{name}/manual_time", "run_type": "iteration",
         "repetition_index": i, "iterations": 100, "real_time": time, "cpu_time": time, "time_unit": "us", **more}
        for i, time in enumerate(times)
    ]


def aggregate(kind, time, name=NAME, **more):
    return {"name": f"{name}/manual_time_{kind}", "run_name": f"{name}/manual_time", "run_type": "aggregate",
            "aggregate_name": kind, "real_time": time, "cpu_time": time, "time_unit": "us", **more}


def benchmarks(entries, **context):
    return {"context": {**CONTEXT, **context}, "benchmarks": entries}


def train_steps(runs):
    return {"kind": "train_step", "context": CONTEXT, "rows": [
        {"model": "resnet18", "size": 64, "channels": 6, "batch": 64, "dtype": "f32", "device": "cpu", "runs": runs}]}


class Page(html.parser.HTMLParser):
    """A page's elements and texts, unescaped."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.rows, self.in_cell = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, text):
        self.texts.append(text)
        if self.in_cell:
            self.rows[-1][-1] += text

    def row(self, name):
        return next(row for row in self.rows if row[0] == name)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "report.html"

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    def program(self, name, script):
        """An executable that runs a Python script."""
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\nimport json, sys, time\n{script}\n")
        path.chmod(0o755)
        return path

    def run_report(self, *arguments):
        """Exit code, stdout and stderr."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = report.main([str(argument) for argument in arguments])
        return code, out.getvalue(), err.getvalue()

    def page(self, *contents):
        files = [self.file(f"results{i}.json", content) for i, content in enumerate(contents)]
        self.assertEqual(self.run_report(*files, "--out", self.out)[0], 0)
        self.text = self.out.read_text(encoding="utf-8")
        return Page(self.text)


class ReportPage(Case):
    def test_loads_nothing(self):
        page = self.page(benchmarks(repetitions([9, 10, 11], operations=1e6, bytes=1e6, share_of_limit=0.9,
                                                library_ratio=1.2, label="oneDNN")),
                         train_steps([{"engine": "cytograd", "images_per_second": [10], "phases": {"forward": 0.1}}]))
        self.assertNotRegex(self.text, r"https?:|//[a-z]+\.|url\(|@import")
        for tag, attributes in page.elements:
            self.assertNotIn(tag, ("link", "img", "iframe", "object", "embed", "base"))
            self.assertFalse({"src", "href", "xlink:href", "action"} & attributes.keys(), tag)

    def test_shows_context_and_limits(self):
        page = self.page(benchmarks(repetitions([10]), limit_note="x"))
        for key in ("date", "host_name", "compiler", "device_cpu", "cuda", "limit_copy_GB/s_cpu", "limit_note"):
            self.assertEqual(page.row(key)[1], {**CONTEXT, "limit_note": "x"}[key])
        self.assertEqual(page.row("load_avg")[1], "0.25, 0.5, 1.0")

    def test_shows_medians_of_repetitions(self):
        def repetition(time, *values):
            counters = dict(zip(("GB/s", "GFLOP/s", "share_of_limit", "library_ratio"), values))
            return repetitions([time], label="oneDNN", **counters)

        entries = [
            *repetition(10, 7.0, 70.0, 0.71, 1.5), *repetition(12, 5.0, 50.0, 0.51, 1.1),
            *repetition(11, 6.0, 60.0, 0.61, 1.3), aggregate("median", 999), aggregate("cv", 0.5), aggregate("BigO", 1),
        ]
        row = self.page(benchmarks(entries)).row(NAME)
        self.assertEqual(row, [NAME, "11.0 us", "9.1%", "3", "6.00", "60.0", "61.0%", "oneDNN", "1.30x"])

    def test_works_out_rates_that_are_missing(self):
        row = self.page(benchmarks(repetitions([10], bytes=2e5, operations=4e5))).row(NAME)
        self.assertEqual(row[4:], ["20.0", "40.0", "–", "", "–"])

    def test_takes_aggregates_where_repetitions_were_left_out(self):
        entries = [aggregate("mean", 12), aggregate("median", 11, bytes=2.2e5), aggregate("cv", 0.034, bytes=0.1)]
        self.assertEqual(self.page(benchmarks(entries)).row(NAME)[:5], [NAME, "11.0 us", "3.4%", "–", "20.0"])

    def test_places_a_row_below_its_roofs(self):
        page = self.page(benchmarks(repetitions([10], operations=5e5, bytes=5e4)))
        roofs = [(float(a["y1"]), float(a["y2"])) for tag, a in page.elements if a.get("class") == "roof"]
        point = next(float(a["cy"]) for tag, a in page.elements if a.get("class", "").startswith("mark"))
        self.assertEqual(len(roofs), 3)  # read, copy, matrix products
        self.assertGreater(point, min(y for roof in roofs for y in roof))  # pixels count downwards: 50 of 148 GFLOP/s
        self.assertIn("read 21.4, copy 18.2 GB/s", page.texts)
        self.assertIn("matrix product 148 GFLOP/s", page.texts)

    def test_draws_shares_and_ratios(self):
        entries = [*repetitions([10], share_of_limit=0.799, library_ratio=0.5, label="oneDNN"),
                   *repetitions([10], name=NAME.replace("forward", "backward"), share_of_limit=0.86, library_ratio=2.0)]
        page = self.page(benchmarks(entries))
        self.assertIn("In production, 1 of 2 reach 85%, 1 of 2 reach 80%.", page.texts)
        self.assertIn("79.9%", page.texts)  # not 80%, which it falls short of
        self.assertIn("0.50x oneDNN", page.texts)
        bars = [a for tag, a in page.elements if tag == "rect" and a.get("class") in ("blue", "red")]
        slower = next(a for a in bars if a["class"] == "red")
        faster = bars[bars.index(slower) - 1]
        self.assertAlmostEqual(float(slower["x"]) + float(slower["width"]), float(faster["x"]), delta=0.2)

    def test_lists_what_was_not_run(self):
        failed = repetitions([0], error_occurred=True, error_message="no plan for this shape")
        skipped = repetitions([0], name="later", skipped=True, skip_message="too slow")
        page = self.page(benchmarks(failed + skipped))
        self.assertEqual(page.row(NAME)[1], "no plan for this shape")
        self.assertEqual(page.row("later")[1], "too slow")

    def test_takes_any_name_and_no_context(self):
        entries = repetitions([10], name="colormap") + repetitions([10], name="pca/5/real_time/threads:2")
        page = self.page({"benchmarks": entries})
        self.assertEqual(page.row("colormap")[1], "10.0 us")
        self.assertEqual(page.row("pca/5")[1], "10.0 us")

    def test_takes_what_a_bench_without_limits_gives(self):
        page = self.page({"benchmarks": repetitions([10], operations=1e6, bytes=1e6, share_of_limit=float("nan"))})
        self.assertIn("Not measured here: bandwidth and matrix products.", page.texts)
        self.assertEqual(page.row(NAME)[6], "–")

    def test_escapes_whatever_a_file_says(self):
        evil = '<script>alert("1")</script>\'"&\x1b[31m\ud800'
        shown = '<script>alert("1")</script>\'"&\ufffd[31m\ufffd'
        name = "a/{}/forward/f32/cpu/production"
        counters = {"operations": 1e6, "bytes": 1e6, "share_of_limit": 0.5, "library_ratio": 2, "label": evil}
        page = self.page(
            benchmarks(repetitions([10], name=name.format(evil), **counters)
                       + repetitions([0], name=evil, error_occurred=True, error_message=evil),
                       **{evil: evil, "device_cpu": evil}),
            train_steps([{"engine": f"cytograd {evil}", "images_per_second": [1], "phases": {evil: 1.0}}]))
        self.assertEqual(sum(tag == "script" for tag, _ in page.elements), 1)  # the page's own
        self.assertNotIn("\x1b", self.text)
        self.assertEqual(page.row(shown)[1], shown)
        self.assertEqual(page.row(name.format(shown))[7], shown)

    def test_numbers_several_files(self):
        page = self.page(benchmarks(repetitions([10])), benchmarks(repetitions([20], name="colormap")))
        self.assertEqual(page.row(NAME)[-1], "1")
        self.assertEqual(page.row("colormap")[-1], "2")


class TrainSteps(Case):
    def test_ratio_is_the_median_of_the_rounds_ratios(self):
        page = self.page(train_steps([
            {"engine": "PyTorch 2.15 eager", "images_per_second": [100, 50, 200]},
            {"engine": "cytograd", "images_per_second": [110, 100, 240], "peak_mib": 900, "share_of_limit": 0.61}]))
        rows = self.rows(page)
        # Ratios 1.1, 2 and 1.2; that of the medians would be 1.1.
        self.assertEqual(rows["PyTorch 2.15 eager"],
                         ["100", "50.0", "200", "3", "1.20x", "1.10x", "2.00x", "–", "–", "–", "–", ""])
        self.assertEqual(rows["cytograd"], ["110", "100", "240", "3", "–", "–", "–", "900", "61.0%", "–", "–", ""])

    @staticmethod
    def rows(page):
        return {row[1]: row[2:] for row in page.rows if len(row) == 14}

    def test_inference_has_a_ratio_of_rounds_too(self):
        page = self.page(train_steps([
            {"engine": "PyTorch", "images_per_second": [1, 1, 1], "inference_images_per_second": [100, 50, 200]},
            {"engine": "cytograd", "images_per_second": [1, 1, 1], "inference_images_per_second": [110, 100, 240]}]))
        self.assertEqual(self.rows(page)["PyTorch"][-3:], ["100", "1.20x", ""])
        self.assertEqual(self.rows(page)["cytograd"][-3:], ["110", "–", ""])
        page = self.page(train_steps([  # as files before had it: the medians alone
            {"engine": "PyTorch", "images_per_second": [1, 1], "inference_images_per_second": 100},
            {"engine": "cytograd", "images_per_second": [1, 1], "inference_images_per_second": 150}]))
        self.assertEqual(self.rows(page)["PyTorch"][-3:], ["100", "1.50x", ""])

    def test_engines_that_failed_keep_the_rounds_they_had(self):
        page = self.page(train_steps([
            {"engine": "cytograd", "images_per_second": [110, 100]},
            {"engine": "PyTorch 1.13 compile", "images_per_second": [], "error": "no torch.compile"},
            {"engine": "PyTorch 2.15 compile", "images_per_second": [55], "error": "killed"}]))
        rows = self.rows(page)
        self.assertEqual(rows["PyTorch 1.13 compile"], [*["–"] * 3, "0", *["–"] * 7, "no torch.compile"])
        self.assertEqual(rows["PyTorch 2.15 compile"][3:6], ["1", "2.00x", "2.00x"])
        self.assertEqual(rows["PyTorch 2.15 compile"][-1], "killed")
        page = self.page(train_steps([
            {"engine": "cytograd", "images_per_second": [], "error": "boom"},
            {"engine": "PyTorch", "images_per_second": [55], "remark": "NOT the same network"}]))
        self.assertEqual([row[-1] for row in self.rows(page).values()][1:], ["boom", "NOT the same network"])

    def test_stacks_phases(self):
        phases = {"backward": 0.2, "forward": 0.1, "load": 0.0, "other": 0.1}
        page = self.page(train_steps([{"engine": "cytograd", "images_per_second": [160], "phases": phases}]))
        segments = [a for tag, a in page.elements if "segment" in a.get("class", "")]
        ends = [float(a["x"]) + float(a["width"]) for a in segments]
        for end, following in zip(ends, segments[1:]):
            self.assertAlmostEqual(end, float(following["x"]), delta=0.2)
        self.assertIn(["step", "engine", "load", "forward", "backward", "other"], page.rows)
        self.assertIn("400 ms", page.texts)


class StoppedRun(Case):
    def test_rows_of_a_benchmark_that_was_stopped_are_kept(self):
        whole = json.dumps(benchmarks(repetitions([10, 11, 12])), indent=2).encode()
        start = whole.rindex(b"    {")
        for end, rows in ((start, 2), (start + 5, 2), (len(whole) - 8, 2), (len(whole) - 6, 3), (len(whole), 3)):
            file = self.file("stopped.json", whole[:end])
            code, _, error = self.run_report(file, "--out", self.out)
            warning = f"report.py: warning: {file}: is cut off after {rows} rows\n"
            self.assertEqual((code, error), (0, "" if end == len(whole) else warning))
            self.assertEqual(len(json_node.load(file).value["benchmarks"]), rows, end)

    def test_what_has_no_whole_row_is_an_error(self):
        whole = json.dumps(benchmarks(repetitions([10, 11, 12])), indent=2).encode()
        narrow = json.dumps(benchmarks(repetitions([10, 11, 12])), indent=1).encode()  # not Google Benchmark's own
        for content in (whole[: whole.index(b"[\n    {") + 2], whole[: whole.index(b"    {\n      \"name\"") + 20],
                        narrow[: len(narrow) // 2]):
            code, _, error = self.run_report(self.file("stopped.json", content), "--out", self.out)
            self.assertEqual(code, 1)
            self.assertIn("not JSON: it ends before its first whole row", error)

    def test_a_comparison_says_that_a_file_is_cut_off(self):
        whole = json.dumps(benchmarks(repetitions(range(1, 9))), indent=2).encode()
        files = [self.file("whole.json", whole), self.file("stopped.json", whole[: whole.rindex(b"    {")])]
        _, _, error = self.run_report("--compare", *files)
        self.assertIn(f"report.py: warning: {files[1]}: is cut off after 7 rows\n", error)


class WrongInput(Case):
    def assert_error(self, content, *parts):
        """Exit code 1 and one line that has the file's name and these parts; a page from before stays as it was."""
        self.out.write_text("from before")
        file = self.file("broken.json", content)
        code, _, error = self.run_report(file, "--out", self.out)
        self.assertEqual(code, 1, content)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertTrue(error.startswith(f"report.py: error: {file}: "), error)
        for part in parts:
            self.assertIn(part, error)
        self.assertEqual(self.out.read_text(), "from before")

    def test_names_file_and_place(self):
        entry = repetitions([10])[0]
        for content, *parts in (
            (b"", "not JSON"), (b"{", "not JSON"), (b"\xff\xfe\xfa", "not JSON"), (b"[" * 100000, "not JSON"),
            (b'{"benchmarks": [{"real_time": ' + b"9" * 5000 + b"}]}", "not JSON"),
            ([], "an array is not an object"), ({}, "neither Google Benchmark's results"),
            ({"kind": "other"}, "neither"),
            ({"benchmarks": {}}, "benchmarks: an object is not an array"),
            ({"benchmarks": [3]}, "benchmarks[0]: 3 is not an object"),
            ({"benchmarks": [entry, {}]}, "benchmarks[1]: name is missing"),
            ({"benchmarks": [{"name": 3}]}, "benchmarks[0].name: 3 is not a string"),
            ({"benchmarks": [{**entry, "real_time": "fast"}]}, 'benchmarks[0].real_time: "fast" is not a number'),
            ({"benchmarks": [{**entry, "real_time": True}]}, "benchmarks[0].real_time: true is not a number"),
            ({"benchmarks": [{**entry, "real_time": 0}]}, "benchmarks[0].real_time: 0 is out of range"),
            ({"benchmarks": [{**entry, "real_time": float("nan")}]}, "benchmarks[0].real_time: NaN is out of range"),
            ({"benchmarks": [{**entry, "real_time": 10**400}]}, "benchmarks[0].real_time: 1000", "is out of range"),
            ({"benchmarks": [{**entry, "time_unit": "h"}]}, "benchmarks[0].time_unit: 'h' is not a unit of time"),
            ({"benchmarks": [{**entry, "bytes": -1}]}, "benchmarks[0].bytes: -1 is out of range"),
            ({"benchmarks": [{**entry, "label": [1]}]}, "benchmarks[0].label: an array is not a string"),
            ({"context": 3, "benchmarks": []}, "context: 3 is not an object"),
            (benchmarks([], **{"limit_copy_GB/s_cpu": "fast"}), "context.limit_copy_GB/s_cpu: 'fast' is not a limit"),
            (benchmarks([], **{"limit_read_GB/s_cpu": "-3"}), "context.limit_read_GB/s_cpu"),
            ({"kind": "train_step"}, "rows is missing"),
            ({"kind": "train_step", "rows": [{"model": "m"}]}, "rows[0]: runs is missing"),
            (train_steps([{"engine": "cytograd", "images_per_second": []}]),
             "rows[0].runs[0].images_per_second: no round"),
            (train_steps([{"engine": "cytograd", "images_per_second": [1, "x"]}]),
             "rows[0].runs[0].images_per_second[1]"),
            (train_steps([{"engine": "cytograd", "images_per_second": [1, 2]},
                          {"engine": "PyTorch", "images_per_second": [1]}]),
             "rows[0].runs[1].images_per_second: 1 rounds beside cytograd's 2"),
            (train_steps([{"engine": "cytograd", "images_per_second": [1], "phases": {"load\n": "x"}}]),
             "rows[0].runs[0].phases.load\ufffd"),
        ):
            with self.subTest(parts[-1]):
                self.assert_error(content, *parts)

    def test_names_files_it_cannot_read_or_write(self):
        file = self.file("results.json", benchmarks(repetitions([10])))
        absent = self.folder / "absent.json"
        code, _, error = self.run_report(absent, "--out", self.out)
        self.assertEqual((code, error), (1, f"report.py: error: {absent}: No such file or directory\n"))
        code, _, error = self.run_report(file, "--out", self.folder / "absent" / "report.html")
        self.assertEqual(code, 1)
        self.assertIn("report.html: No such file or directory", error)
        self.assertEqual(self.run_report(file, "--out", self.folder)[0], 1)

    def test_no_input_is_overwritten(self):
        file = self.file("results.json", benchmarks(repetitions([10])))
        before = Path(file).read_text(encoding="utf-8")
        for arguments in ((file,), ("--compare", file, file)):
            code, _, error = self.run_report(*arguments, "--out", file)
            self.assertEqual((code, error), (1, f"report.py: error: {file}: is an input, which would be lost; name another "
                                                "file to write\n"))
        self.assertEqual(Path(file).read_text(encoding="utf-8"), before)

    def test_any_value_in_any_place_gives_a_page_or_an_error(self):
        """Every value of valid files is replaced in turn; what the error does not name is a page."""
        counters = {"operations": 1e6, "bytes": 1e6, "share_of_limit": 0.9, "library_ratio": 1.2, "label": "oneDNN"}
        ours = {"engine": "cytograd", "images_per_second": [10, 11], "peak_mib": 1, "share_of_limit": 0.5,
                "phases": {"forward": 0.1}}
        valid = (benchmarks(repetitions([9, 10], **counters) + [aggregate("median", 10)]),
                 train_steps([ours, {"engine": "PyTorch", "images_per_second": [10, 11]}]))

        def places(value, path=()):
            yield path
            if isinstance(value, (dict, list)):
                for key in value if isinstance(value, dict) else range(len(value)):
                    yield from places(value[key], (*path, key))

        for root in valid:
            for path in list(places(root))[1:]:
                for value in (None, True, "", "x/y", -1, 0, 1e-300, 1e300, float("inf"), [], {}, [[]], {"a": 1}):
                    changed = json.loads(json.dumps(root))
                    parent = changed
                    for key in path[:-1]:
                        parent = parent[key]
                    parent[path[-1]] = value
                    file = self.file("changed.json", changed)
                    code, _, error = self.run_report(file, "--out", self.out)
                    self.assertIn(code, (0, 1))
                    self.assertEqual(error.count("\n"), code)


ONE_AFTER_THE_OTHER = ("report.py: warning: the files were run one after the other: what the machine did meanwhile counts "
                       "as a change; alternate.py runs two builds in turn\n")


@unittest.skipUnless(importlib.util.find_spec("scipy"), "no scipy")
class Comparison(Case):
    ROWS = [f"op/case_{i}/forward/f32/cpu/production" for i in range(12)]

    def measured(self, seed, slowed=(), factor=1.1, count=20, noise=0.02):
        """A file of runs with that noise, rows in `slowed` by a factor."""
        numbers = random.Random(seed)
        entries = []
        for i, name in enumerate(self.ROWS):
            time = 10.0 * (i + 1) * (factor if name in slowed else 1)
            entries += repetitions([time * numbers.gauss(1, noise) for _ in range(count)], name=name)
        return benchmarks(entries)

    def compare(self, before, after, *arguments):
        """Exit code, verdicts by row, stdout and stderr."""
        files = self.file("before.json", before), self.file("after.json", after)
        code, out, error = self.run_report("--compare", *files, *arguments)
        verdicts = {name: verdict for name, verdict in re.findall(r"^(\S+/\S+) .*?  (\w[\w ]*)$", out, re.MULTILINE)}
        return code, verdicts, out, error

    def test_finds_a_tenth_among_noise_and_nothing_else(self):
        for seed in range(8):
            before = self.measured(seed)
            code, verdicts, _, _ = self.compare(before, self.measured(100 + seed, slowed=self.ROWS[3:4]))
            self.assertEqual(code, 3)
            self.assertEqual([name for name, verdict in verdicts.items() if verdict == "slower"], self.ROWS[3:4])
            self.assertEqual(len(verdicts), len(self.ROWS))
            code, verdicts, _, _ = self.compare(before, self.measured(100 + seed, slowed=self.ROWS[3:4], factor=0.9))
            self.assertEqual(code, 0)
            self.assertEqual(verdicts[self.ROWS[3]], "faster")

    def test_finds_nothing_between_runs_of_one_distribution(self):
        """One comparison in twenty may find something: alpha holds for all its rows together."""
        found = 0
        for seed in range(20):
            _, verdicts, _, _ = self.compare(self.measured(seed), self.measured(1000 + seed))
            self.assertEqual(len(verdicts), len(self.ROWS))
            found += set(verdicts.values()) != {"no difference"}
        self.assertLessEqual(found, 2)

    def alternated(self, seed, slowed=(), count=20):
        """Files of two builds run in turn on a machine whose rate wanders by a fifth, which both meet alike."""
        numbers = random.Random(seed)
        drift = [numbers.gauss(1, 0.2) for _ in range(count)]
        files = []
        for build in range(2):
            entries = []
            for i, name in enumerate(self.ROWS):
                time = 10.0 * (i + 1) * (1.1 if build and name in slowed else 1)
                entries += repetitions([time * d * numbers.gauss(1, 0.02) for d in drift], name=name)
            files.append(benchmarks(entries, alternated="one run"))
        return files

    def test_tests_builds_that_ran_in_turn_in_pairs(self):
        for seed in range(8):
            before, after = self.alternated(seed, slowed=self.ROWS[3:4])
            code, verdicts, out, _ = self.compare(before, after)
            self.assertEqual((code, [name for name, v in verdicts.items() if v == "slower"]), (3, self.ROWS[3:4]))
            self.assertIn("Wilcoxon", out)
            after["context"]["alternated"] = "another run"
            code, verdicts, out, _ = self.compare(before, after)
            self.assertEqual((code, set(verdicts.values())), (0, {"no difference"}))
            self.assertIn("Mann-Whitney", out)

    def test_finds_nothing_between_equal_builds_that_ran_in_turn(self):
        found = 0
        for seed in range(20):
            _, verdicts, _, _ = self.compare(*self.alternated(100 + seed))
            self.assertEqual(len(verdicts), len(self.ROWS))
            found += set(verdicts.values()) != {"no difference"}
        self.assertLessEqual(found, 2)

    def test_a_round_without_its_partner_does_not_count(self):
        before, after = self.alternated(1, slowed=self.ROWS[3:4])
        after["benchmarks"] = [entry for entry in after["benchmarks"] if entry["repetition_index"] not in (3, 19)]
        self.assertEqual(self.compare(before, after)[1][self.ROWS[3]], "slower")

    def test_direction_is_that_of_the_rounds_not_of_the_medians(self):
        """18 of 20 rounds are slower by a hundredth, on a machine that becomes slower; the two in the middle are not."""
        times = [1.1**i for i in range(20)]
        slower = [time * (0.999 if i in (9, 10) else 1.01) for i, time in enumerate(times)]
        files = [benchmarks(repetitions(values), alternated="one run") for values in (times, slower)]
        self.assertEqual(self.compare(*files)[:2], (3, {NAME: "slower"}))

    def test_equal_rounds_do_not_count(self):
        """Five rounds of one direction can reach a p of 2 / 32, whatever is beside them."""
        times, slower = [10, 11, 12, 13, 14, 15], [10, 12, 14, 16, 18, 20]
        files = [benchmarks(repetitions(values), alternated="one run") for values in (times, slower)]
        self.assertEqual(self.compare(*files)[:2], (0, {NAME: "too few repetitions"}))
        self.assertEqual(self.compare(*files, "--alpha", "0.07")[:2], (3, {NAME: "slower"}))

    def test_clocks_differ_between_rounds(self):
        before, after = self.alternated(1)
        after["context"]["clocks"] = "another"
        self.assertEqual(self.compare(before, after)[3], "")

    def test_corrects_for_the_number_of_rows(self):
        from reporting.comparison import Pair, correct

        pairs = [Pair(None, None, p=p) for p in (0.04, 0.01, 0.03)]
        correct(pairs)
        # 0.01 * 3; 0.03 * 2; 0.04 * 1, but no less than the one before.
        for pair, corrected in zip(pairs, (0.06, 0.03, 0.06)):
            self.assertAlmostEqual(pair.corrected, corrected)

    def test_warns_where_repetitions_are_too_few(self):
        slowed = self.measured(2, slowed=self.ROWS[:1], factor=3, count=4)
        code, verdicts, out, error = self.compare(self.measured(1, count=4), slowed)
        self.assertEqual(code, 0)
        self.assertEqual(set(verdicts.values()), {"too few repetitions"})
        # The least p: 2 / 70 of 4 and 4, 2 / 252 of 5 and 5, 2 / 924 of 6 and 6, below 0.05 / 12 = 0.0042.
        self.assertEqual(error, ONE_AFTER_THE_OTHER + "report.py: warning: 12 of 12 rows have too few repetitions, 4 at the fewest, for any "
                                "verdict: alpha over 12 tests is 0.0042, which takes 6 in each file\n")
        slowed = self.measured(2, slowed=self.ROWS[:1], factor=3, count=6)
        code, verdicts, _, error = self.compare(self.measured(1, count=6), slowed)
        self.assertEqual((code, verdicts[self.ROWS[0]], error), (3, "slower", ONE_AFTER_THE_OTHER))

    def test_alpha_is_a_choice(self):
        before, after = self.measured(1, count=5), self.measured(2, slowed=self.ROWS, factor=3, count=5)
        self.assertEqual(self.compare(before, after, "--alpha", "0.2")[0], 3)
        self.assertEqual(self.compare(before, after, "--alpha", "0.001")[0], 0)

    def test_equal_times_are_no_difference(self):
        same = benchmarks(repetitions([10] * 9))
        self.assertEqual(self.compare(same, same)[:2], (0, {NAME: "no difference"}))

    def test_lists_rows_without_a_partner(self):
        before = benchmarks(repetitions(range(10, 20)) + repetitions([1], name="gone") + repetitions([1], name="fails"))
        after = benchmarks(repetitions(range(10, 20)) + repetitions([1], name="new")
                           + repetitions([1], name="fails", error_occurred=True, error_message="no plan"))
        code, _, out, _ = self.compare(before, after, "--out", self.out)
        self.assertEqual(code, 3)
        self.assertIn("1 no difference; 1 that ran before did not run (", out)
        self.assertEqual(self.compare(after, before)[0], 0, "what runs again is no loss")
        broken = benchmarks(repetitions([1], name="fails", error_occurred=True, error_message="no plan"))
        self.assertEqual(self.compare(benchmarks(repetitions([1], name="fails")), broken)[0], 3, "and nothing else is there")
        for line in ("only before: gone", "only after: new", "not run: fails: no plan"):
            self.assertIn(f"\n{line}\n", out)
        page = Page(self.out.read_text(encoding="utf-8"))
        self.assertEqual([page.row(name)[1] for name in ("gone", "new", "fails")],
                         ["only in the file before", "only in the file after", "not run: no plan"])

    def test_page_shows_what_the_terminal_does(self):
        after = self.measured(2, slowed=self.ROWS[3:4])
        code, verdicts, out, _ = self.compare(self.measured(1), after, "--out", self.out)
        text = self.out.read_text(encoding="utf-8")
        page = Page(text)
        self.assertEqual({name: page.row(name)[-1] for name in self.ROWS}, verdicts)
        self.assertIn("12 rows in both files: 0 faster, 1 slower, 11 no difference", page.texts)
        self.assertIn("Holm", text)
        self.assertNotRegex(text, r"https?:|url\(")

    def test_says_where_the_machines_differ(self):
        before, after = self.measured(1), self.measured(2)
        after["context"]["device_cpu"] = "Another CPU"
        self.assertEqual(self.compare(before, after)[3],
                         "report.py: warning: the files differ in device_cpu: Some CPU before, Another CPU after\n"
                         + ONE_AFTER_THE_OTHER)

    def test_says_where_the_machine_changed(self):
        before, after = self.measured(1), self.measured(2)
        after["context"] |= {"limit_copy_GB/s_cpu": "25", "limit_read_GB/s_cpu": "22"}
        warning = "report.py: warning: the machine changed: its limit cpu copy was 18.2 before, 25 after\n"
        self.assertEqual(self.compare(before, after)[3], ONE_AFTER_THE_OTHER + warning)
        for file in (before, after):
            file["context"]["alternated"] = "one run"
        self.assertEqual(self.compare(before, after)[3], "", "it met both builds")

    def test_refuses_what_cannot_be_compared(self):
        measured = self.measured(1)
        for after, message in ((benchmarks([aggregate("median", 10)]), "has aggregates alone"),
                               (benchmarks([]), "no row in common"), (train_steps([]), "benchmarks is missing")):
            code, _, _, error = self.compare(measured, after)
            self.assertEqual(code, 1)
            self.assertRegex(error, rf"^report.py: error: .*after.json.*{message}.*\n$")


class Alternating(Case):
    """bench/alternate.py, on programs that write what they were told."""

    def alternate(self, before, after, *arguments):
        outs = [self.folder / name for name in ("out_before.json", "out_after.json")]
        command = [sys.executable, BENCH / "alternate.py", before, after, "--out-before", outs[0], "--out-after", outs[1],
                   *arguments]
        return subprocess.run(command, capture_output=True, text=True), outs

    def test_rounds_of_two_programs_become_two_files(self):
        log = self.folder / "log"
        programs = [self.program(name, f"""
arguments = sys.argv[1:]
open({str(log)!r}, "a").write("{name} " + arguments[0] + chr(10))
out = next(a for a in arguments if a.startswith("--benchmark_out=")).split("=", 1)[1]
entry = {{"name": "op/manual_time", "run_name": "op/manual_time", "run_type": "iteration", "real_time": {time},
         "cpu_time": 1, "time_unit": "us"}}
json.dump({{"context": {{}}, "benchmarks": [entry]}}, open(out, "w"))""") for name, time in (("a", 1), ("b", 2))]
        result, outs = self.alternate(*programs, "--rounds", "3", "--", "--benchmark_filter=op")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(log.read_text(), "".join(f"{name} --benchmark_filter=op\n" for name in "abbaab"))
        files = [json.loads(out.read_text()) for out in outs]
        self.assertEqual([[entry["real_time"] for entry in file["benchmarks"]] for file in files], [[1] * 3, [2] * 3])
        self.assertEqual([entry["repetition_index"] for entry in files[1]["benchmarks"]], [0, 1, 2])
        self.assertEqual(*(file["context"]["alternated"] for file in files))

    def test_a_program_that_fails_ends_it_with_nothing_written(self):
        good = self.program("good", "sys.exit(0)")
        for other, message in ((self.program("bad", "sys.exit('no such row')"), "exit code 1: no such row"),
                               (self.folder / "none", "No such file"), (good, "wrote no results")):
            result, outs = self.alternate(other, good)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, rf"^alternate.py: error: .*{message}.*\n$")
            self.assertFalse(any(out.exists() for out in outs))

    def test_files_that_cannot_be_written_are_refused_before_a_run(self):
        never = self.program("never", f"open({str(self.folder / 'ran')!r}, 'w')")
        for arguments, message in ((("--out-after", self.folder / "none" / "b.json"), "none is no folder"),
                                   (("--out-after", self.folder / "out_before.json"), "are one file"),
                                   (("--out-after", self.folder), "is a folder"),
                                   (("--rounds", "0"), "from 1")):
            result, _ = self.alternate(never, never, *arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(message, result.stderr)
        self.assertFalse((self.folder / "ran").exists())


class ComparingSteps(Case):
    """bench/compare_train_step.py, on programs that print what they were told."""

    OURS = {"images_per_second": 20, "inference_images_per_second": 60, "parameters": 7, "threads": 2, "steps": 3,
            "stem": "7x7", "classes": 16, "phases": {"forward": 0.1}, "share_of_limit": 0.5, "matmul_gflops": 100,
            "peak_mib": 9, "commit": "0123abc", "compiler": "GNU 12"}
    PEER = {"images_per_second": 10, "parameters": 7, "threads": 2, "steps": 3, "phases": {"forward": 0.2}, "torch": "2"}

    def engine(self, name, *lines, more=""):
        version = "if '-c' in sys.argv: print('2.15.0+cpu'); sys.exit()"  # as a Python that is asked for its PyTorch's
        printed = "\n".join(f"print({json.dumps(line)!r}, flush=True)" for line in lines)
        return self.program(name, f"{version}\n{printed}\n{more}")

    def compare(self, ours, *torches, options=()):
        file = self.folder / "steps.json"
        command = [sys.executable, BENCH / "compare_train_step.py", "--ours", ours, "--config", "small:8:2:f32", "--json",
                   file, "--rounds", "2", "--compile", *options]
        for torch in torches:
            command += ["--torch", torch]
        result = subprocess.run(command, capture_output=True, text=True)
        return result, json.loads(file.read_text()) if file.exists() else None

    def test_keeps_each_round_and_says_what_was_measured(self):
        peer = self.engine("peer", self.PEER, {**self.PEER, "inference_images_per_second": 40})
        result, file = self.compare(self.engine("ours", self.OURS), peer, options=["--steps", "5", "--threads", "2"])
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("PyTorch 2.15 eager: training 10.0 (10.0 to 10.0) images/s, cytograd is 2.00 (2.00 to 2.00) times as "
                      "fast; inference 40.0 (40.0 to 40.0) images/s, cytograd is 1.50", result.stdout)
        self.assertEqual([file["context"][key] for key in ("commit", "compiler")], ["0123abc", "GNU 12"])
        row = file["rows"][0]
        self.assertEqual((row["steps"], row["seconds"]), (5, 30))
        ours, theirs = row["runs"]
        self.assertEqual((ours["images_per_second"], ours["inference_images_per_second"]), ([20, 20], [60, 60]))
        self.assertEqual((theirs["images_per_second"], theirs["inference_images_per_second"]), ([10, 10], [40, 40]))
        self.assertEqual((ours["steps"], ours["matmul_gflops"], ours["stem"]), ([3, 3], 100, "7x7"))
        self.assertNotIn("error", theirs)
        earlier = {key: value for key, value in self.OURS.items() if key not in ("commit", "compiler")}
        result, file = self.compare(self.engine("earlier", earlier), peer)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertNotIn("commit", file["context"])

    def test_a_peer_whose_inference_fails_or_takes_long_keeps_its_training(self):
        for more, error in (("sys.exit('RuntimeError: no kernel')", "RuntimeError: no kernel"),
                            ("time.sleep(60)", "killed after 2 s")):
            result, file = self.compare(self.engine("ours", self.OURS), self.engine("peer", self.PEER, more=more),
                                        options=["--limit", "2"])
            self.assertEqual(result.returncode, 1)
            theirs = file["rows"][0]["runs"][1]
            self.assertEqual((theirs["images_per_second"], theirs["error"]), ([10], error))
            self.assertNotIn("inference_images_per_second", theirs)
            self.assertIn(f"training 10.0 (10.0 to 10.0) images/s, cytograd is 2.00 (2.00 to 2.00) times as fast; then "
                          f"failed: {error}", result.stdout)

    def test_says_where_a_peer_does_another_work(self):
        result, file = self.compare(self.engine("ours", self.OURS),
                                    self.engine("peer", {**self.PEER, "parameters": 5, "threads": 1}),
                                    self.engine("other", self.PEER))
        remark = "NOT the same network: 5 parameters beside 7; NOT as many threads: 1 beside 2"
        self.assertIn(remark, result.stdout)
        runs = file["rows"][0]["runs"]
        self.assertEqual([run.get("remark") for run in runs], [None, remark, None])
        self.assertEqual([run["engine"] for run in runs[1:]],
                         [f"PyTorch 2.15 of {self.folder / name} eager" for name in ("peer", "other")])

    def test_wrong_options_are_refused_before_a_run(self):
        never = self.engine("never", more=f"open({str(self.folder / 'ran')!r}, 'w')")
        for options, message in ((("--json", self.folder / "none" / "a.json"), "is a folder, or in none"),
                                 (("--config", "small:8:2:f32:gpu"), "devices are cpu and cuda"),
                                 (("--config", "small:8:2:f64"), "types are f32, bf16 and f16"),
                                 (("--config", "small:8:-2:f32"), "-2 is not a whole number from 1"),
                                 (("--rounds", "0"), "0 is not a whole number"), (("--steps", "-3"), "-3"),
                                 (("--threads", "0"), "0 is not a whole number")):
            result, _ = self.compare(never, never, options=[str(option) for option in options])
            self.assertEqual(result.returncode, 2, options)
            self.assertIn(message, result.stderr)
        self.assertFalse((self.folder / "ran").exists())


class CommandLine(Case):
    def command(self, *arguments):
        # Without the site's packages: nothing but the standard library, so no scipy.
        return subprocess.run([sys.executable, "-S", "-E", str(BENCH / "report.py"), *map(str, arguments)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_a_report_needs_the_standard_library_alone(self):
        done = self.command(self.file("results.json", benchmarks(repetitions([10]))), "--out", self.out)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(self.out.exists())

    def test_names_the_package_that_comparing_needs(self):
        file = self.file("results.json", benchmarks(repetitions([10])))
        done = self.command("--compare", file, file)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^report.py: error: .*python3-scipy.*\n$")

    def test_wrong_usage_is_2(self):
        for arguments in ((), ("results.json",), ("--compare", "a.json"), ("x.json", "--compare", "a.json", "b.json"),
                          ("--compare", "a.json", "b.json", "--alpha", "2")):
            self.assertEqual(self.command(*arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
