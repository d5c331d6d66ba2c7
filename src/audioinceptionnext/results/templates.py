"""HTML pages from Jinja2 templates, which lie beside the code that fills them in (``.html.j2``).

Every value is escaped, so that a recording or a label is shown as text whatever its name is. Only files of this
package, such as styles and scripts, are inserted as they are.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from audioinceptionnext.errors import counted
from audioinceptionnext.results.formats import format_time

if TYPE_CHECKING:  # imported with the first page: recognition alone does without
    from jinja2 import Environment, Template

PACKAGE = "audioinceptionnext"


def render(name: str, /, **values: Any) -> str:
    """Fill in a template.

    Args:
        name: path of the template in the package.
        values: what the template needs; it is an error if one is missing.

    >>> render("results/recognition.html.j2", result=result)
    """
    return template(name).render(values)


def template(name: str) -> Template:
    """A template, for pages that are too large to be rendered as one string."""
    return _environment().get_template(name)


def package_file(path: str) -> str:
    """The content of a text file of this package, such as a style or a script."""
    return (files(PACKAGE) / path).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(PACKAGE, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters |= {"time": format_time, "tenths": _format_tenths, "counted": counted, "percent": _percent}
    environment.filters["number"] = "{:,}".format
    environment.globals["package_file"] = package_file
    return environment


def _format_tenths(seconds: float) -> str:
    """A time to the tenth of a second, since segments are no more precise than that."""
    return format_time(round(seconds, 1))[:-2]


def _percent(share: float, digits: int = 0) -> str:
    """A share as the pages' script writes it: with a no-break space, as in the SI."""
    return f"{100 * share:.{digits}f}\u00a0%"
