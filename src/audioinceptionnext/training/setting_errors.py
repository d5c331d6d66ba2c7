"""Words pydantic's errors about a recipe's settings in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from audioinceptionnext.errors import ParameterError, suggest

PHRASES = {"int": "a whole number", "float": "a number", "string": "text"}  # by the first word of pydantic's error


def with_errors_of_one_line(init: Callable[..., None], settings: Mapping[str, FieldInfo]) -> Callable[..., None]:
    """The constructor of a class of settings, with pydantic's errors in this project's words, one line each."""

    @wraps(init)
    def checked(self: Any, /, **values: Any) -> None:
        try:
            init(self, **values)
        except ValidationError as error:
            raise _refusal(error, values, settings) from None

    return checked


def _refusal(error: ValidationError, values: dict[str, Any], settings: Mapping[str, FieldInfo]) -> ParameterError:
    """The first of pydantic's errors in this project's words."""
    first = error.errors()[0]
    name, said = str(first["loc"][0]), first.get("ctx", {}).get("error")
    if isinstance(said, ParameterError):
        return said
    if name not in settings:
        return ParameterError(name, None, f"there is no such setting; {suggest(name, settings)}")
    if first["type"] == "literal_error":
        return ParameterError(name, values[name], f"choose from {', '.join(get_args(settings[name].annotation))}")
    if phrase := PHRASES.get(first["type"].split("_")[0]):
        return ParameterError(name, values[name], f"give {phrase}")
    limits = {key: getattr(m, key) for m in settings[name].metadata for key in ("gt", "ge", "le") if hasattr(m, key)}
    return ParameterError(name, values[name], f"give a number {_range(**limits)}")


def _range(gt: float = 0, ge: float | None = None, le: float = math.inf) -> str:
    if ge is None:
        return f"above {gt:g} and at most {le:g}"
    return f"from {ge:g} to {le:g}" if math.isfinite(le) else f"of at least {ge:g}"
