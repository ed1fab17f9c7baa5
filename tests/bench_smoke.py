"""Runs a benchmark of kernels once, as its --smoke does, and fails where a row did: python3 bench_smoke.py BENCHMARK."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

EMULATED = ("right, but an emulator's times say nothing of a GPU",
            "ran; the tests say whether it is right, and a GPU how fast it is")


def flaw(row):
    """What is wrong with a row of results, or None."""
    if row.get("error_occurred"):
        return None if row["error_message"] in EMULATED else row["error_message"]
    if not row["real_time"] > 0:
        return f"took {row['real_time']}"
    if not row["bytes"] > 0 or not row["share_of_limit"] > 0:
        return "moves nothing"
    if row.get("library_ratio", 1) <= 0:
        return f"has the ratio {row['library_ratio']} to its library"
    return None


def main():
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        command = [sys.argv[1], "--smoke", f"--benchmark_out={file}", "--benchmark_out_format=json"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{result.stdout}exit code {result.returncode}")
        rows = json.loads(file.read_text())["benchmarks"]
    flaws = [f"{row['name']}: {flaw(row)}" for row in rows if flaw(row)]
    print("\n".join(flaws) or f"{len(rows)} rows")
    sys.exit(1 if flaws or not rows else 0)


if __name__ == "__main__":
    main()
