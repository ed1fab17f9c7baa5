"""What a comparison was measured on, as strings for its JSON, and running the programs it compares."""

import datetime
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")


def cores():
    return len(os.sched_getaffinity(0))


def output(*command):
    """What a command prints, stripped; "" where it fails or is not there."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        return result.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def describe(threads, cuda=False):
    """The context of a comparison; of the processor what cytograd's benchmarks say of it."""
    cpu = dict(re.findall(r"^(.+?)\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M))
    parts = [cpu.get("model name", os.uname().machine)]
    if "cpu family" in cpu:
        parts.append(f"family {cpu['cpu family']}, model {cpu['model']}, stepping {cpu['stepping']}")
    context = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device_cpu": ", ".join([*parts, f"{threads} threads"]),
        "cpu_features": " ".join(flag for flag in cpu.get("flags", "").split() if flag in FEATURES),
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


def last_json(text):
    """The last line that is a JSON object; {} where none is."""
    for line in reversed(text.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}


def run_json(command, limit, environment=None):
    """The last line of the command's output that is JSON. Where it fails or takes more than `limit` seconds, "error" says
    why, beside what it had printed by then. All processes it has started are killed then."""
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
    late = False
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    if late:
        out, err = process.communicate()
        return {**last_json(out), "error": f"killed after {limit:g} s"}
    result = last_json(out)
    if process.returncode != 0:
        print(f"{' '.join(command)}:\n{err}", file=sys.stderr, flush=True)  # all of it, for a log
        lines = err.strip().splitlines() or [f"exit code {process.returncode}"]
        named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Compiler)\b|[\w./-]+: error: ", line)]
        return {**result, "error": (named or lines)[-1]}
    return result or {"error": "it printed no JSON"}


def write_json(file, content):
    """Whole or not at all."""
    beside = Path(f"{file}.part")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(file)
