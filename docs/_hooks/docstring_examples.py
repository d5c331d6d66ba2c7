"""Lets the site show the examples of docstrings as code. An extension of griffe, named in mkdocs.yml.

In the source, an example begins with ``>>>`` and needs no heading. griffe wants it below the heading "Examples".
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


class DocstringExamples(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **others: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_with_heading, obj.docstring.value)


def _with_heading(example: re.Match[str]) -> str:
    return "Examples:\n" + textwrap.indent(example[0], "    ")
