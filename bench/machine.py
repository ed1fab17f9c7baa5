"""What a comparison was measured on, as strings for its JSON, and running the programs it compares."""

import datetime
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cores():
    return len(os.sched_getaffinity(0))


def output(*command):
    """What a command prints, stripped; "" where it fails or is not there."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        return result.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit():
    bundled = ROOT / "COMMIT"  # of tools/bundle_gpu_check.sh
    if bundled.is_file():
        return bundled.read_text().strip()
    name = output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    return f"{name}-dirty" if name and output("git", "-C", str(ROOT), "status", "--porcelain") else name


def compiler(binary):
    """The first line that the compiler of a CMake build's binary says of itself."""
    cache = Path(binary).resolve().parent / "CMakeCache.txt"
    found = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache.read_text(), re.M) if cache.is_file() else None
    return (output(found[1], "--version").splitlines() or [""])[0] if found else ""


def describe(binary, threads, cuda=False):
    """The context of a comparison."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    context = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "compiler": compiler(binary),
        "device_cpu": f"{cpu[1] if cpu else os.uname().machine}, {threads} threads",
        "load_average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
    if cuda:
        fields = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit")
        values = output("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader").splitlines()
        if values:
            name, driver, *clocks = values[0].split(", ")
            context["device_cuda"] = name
            context["driver"] = driver
            context["clocks"] = ", ".join(f"{field} {value}" for field, value in zip(fields[2:], clocks))
    return context


def run_json(command, limit, environment=None):
    """The last line of the command's output as JSON; {"error": why} where it fails or takes more than `limit` seconds.
    All processes it has started are killed then."""
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        return {"error": str(error)}
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"killed after {limit:g} s"}
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    if process.returncode != 0:
        print(f"{' '.join(command)}:\n{err}", file=sys.stderr, flush=True)  # all of it, for a log
        lines = err.strip().splitlines() or [f"exit code {process.returncode}"]
        named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Compiler)\b|[\w./-]+: error: ", line)]
        return {"error": (named or lines)[-1]}
    try:
        return json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": "it printed no JSON"}


def write_json(file, content):
    """Whole or not at all."""
    beside = Path(f"{file}.part")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(file)
