"""The parts that pages are made of: escaped text, tables, cards, and the page itself, which loads nothing."""

import os
from html import escape
from pathlib import Path

from .json_node import InputError, clean

HERE = Path(__file__).parent
# Says what the page is made of, so that a browser would refuse anything from elsewhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def paragraph(text, style=""):
    return f'<p class="{style}">{escape(text)}</p>' if text else ""


def section(title, *parts):
    """Nothing where there is nothing to show."""
    content = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def card(*parts, style=""):
    return f'<div class="card {style}">{"".join(parts)}</div>'


def cell(text, value=None, style="", hover=""):
    """A cell; `value` is what it sorts by, and makes it a number's."""
    classes = f"{style} number".strip() if value is not None or text == "–" else style
    sort_key = "" if value is None else f' data-value="{value:.9g}"'
    title = f' title="{escape(hover)}"' if hover else ""
    return f'<td class="{classes}"{sort_key}{title}>{escape(text)}</td>'


def table(heads, rows, style="sorted"):
    """heads: texts; those that end in # head numbers. rows: lists of cells."""
    head = "".join(f'<th class="number">{escape(text[:-1])}</th>' if text.endswith("#") else f"<th>{escape(text)}</th>"
                   for text in heads)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f'<table class="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def page(title, *parts):
    style, script = (HERE / "page.css").read_text(), (HERE / "page.js").read_text()
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
            f"<style>\n{style}</style></head>\n<body><h1>{escape(title)}</h1>\n"
            + "\n".join(part for part in parts if part) + f"\n<script>\n{script}</script></body></html>\n")


def write(path, content):
    """Beside and renamed: a page that was there stays whole until the new one is."""
    partial = Path(f"{path}.partial")
    try:
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{clean(str(path))}: {error.strerror or error}") from None
