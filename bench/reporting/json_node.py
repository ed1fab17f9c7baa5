"""A JSON file's values together with where they stand, so that an error names the file and the place in it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

# Beyond these a figure is no measurement, and within them no product or quotient of two can overflow.
LEAST, MOST = 1e-30, 1e30


class InputError(Exception):
    """What is wrong with an input, in one line."""


def clean(string):
    """Without control characters and the like: names end up in terminals and pages."""
    return "".join(c if c.isprintable() else "\ufffd" for c in string)


@dataclass(frozen=True)
class Node:
    file: str
    place: str
    value: object

    def fail(self, what):
        raise InputError(f"{clean(self.file)}: {clean(self.place)}: {what}" if self.place else
                         f"{clean(self.file)}: {what}")

    def _shown(self):
        """The value for an error's text: short, whatever it is."""
        if isinstance(self.value, (dict, list)):
            return "an object" if isinstance(self.value, dict) else "an array"
        shown = clean(json.dumps(self.value, ensure_ascii=False))
        return shown if len(shown) <= 40 else shown[:40] + "..."

    def object(self):
        if not isinstance(self.value, dict):
            self.fail(f"{self._shown()} is not an object")
        return self.value

    def items(self):
        if not isinstance(self.value, list):
            self.fail(f"{self._shown()} is not an array")
        return [Node(self.file, f"{self.place}[{i}]", value) for i, value in enumerate(self.value)]

    def has(self, key):
        return self.object().get(key) is not None

    def child(self, key):
        if not self.has(key):
            self.fail(f"{key} is missing")
        return Node(self.file, f"{self.place}.{key}" if self.place else key, self.value[key])

    def text(self):
        if not isinstance(self.value, str):
            self.fail(f"{self._shown()} is not a string")
        return clean(self.value)

    def number(self, zero=True):
        """A finite number, zero (where that is allowed) or positive."""
        number = self.value
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            self.fail(f"{self._shown()} is not a number")
        if not (zero and number == 0) and not LEAST <= number <= MOST:
            self.fail(f"{self._shown()} is out of range: {'0 or ' if zero else ''}{LEAST:g} to {MOST:g}")
        return float(number)

    def counter(self):
        """As number(); None for what JSON lacks and Google Benchmark writes: NaN and Infinity."""
        if isinstance(self.value, float) and not math.isfinite(self.value):
            return None
        return self.number()


def whole_rows(text):
    """Google Benchmark's file, closed after its last whole row where it was cut off, which its context then says."""
    before, start, rows = text.partition(b'"benchmarks": [')
    if not start or rows.rstrip().endswith(b"}") and b"]" in rows.rpartition(b"\n    }")[2]:
        return json.loads(text)
    head, end, _ = rows.rpartition(b"\n    }")
    value = json.loads(before + start + head + end + b"\n  ]\n}")
    if not value["benchmarks"]:
        raise ValueError("it ends before its first whole row")
    if isinstance(value.setdefault("context", {}), dict):
        value["context"]["cut_off"] = f"after {len(value['benchmarks'])} rows"
    return value


def load(path):
    try:
        value = whole_rows(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{clean(str(path))}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, or a number of thousands of digits
        raise InputError(f"{clean(str(path))}: not JSON: {clean(str(error))}") from None
    return Node(str(path), "", value)
