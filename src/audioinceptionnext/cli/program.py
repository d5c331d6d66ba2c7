"""Commands and groups of commands, with help that is the same for all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_HELP = {"help_option_names": ["-h", "--help"]}
_WIDEST = 20  # characters of the choices that stand in the column of values; help of 80 columns breaks longer ones


def _plainly(params: list[Any], context: Any) -> list[Any]:
    """The parameters with one kind of placeholder: none where no value follows, and words in capitals elsewhere.

    Newer versions of Typer show ``--json <bool>``, as if a value followed, and ``<int range>``.
    """
    for param in params:
        if not hasattr(param, "display_type"):
            break
        if param.param_type_name == "argument":  # its name says what it is
            param.display_type_rich = lambda ctx: None
        elif param.metavar is None:
            param.metavar = "" if param.is_flag else _placeholder(param, param.display_type(context).strip("<>"))
    return params


def _placeholder(param: Any, type_name: str) -> str:
    if "|" not in type_name:
        return "N" if type_name.startswith("int") else "NUMBER" if type_name.startswith("float") else "TEXT"
    if len(type_name) <= _WIDEST:
        return type_name
    param.help = f"{param.help.rstrip('.')}: {type_name.replace('|', ', ')}."
    return "NAME"


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _plainly(super().get_params(ctx), ctx)


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _plainly(super().get_params(ctx), ctx)


class Program(typer.Typer):
    """A group of commands. All know ``-h``, and the group prints its help where no command is given."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=_Group, context_settings=_HELP, no_args_is_help=True, pretty_exceptions_enable=False,
            rich_markup_mode="rich", **settings,
        )  # fmt: skip

    def command(self, name: str | None = None, **settings: Any) -> Callable[..., Any]:
        """Add a command, as `typer.Typer.command` does. Its help is its docstring, with a line for each paragraph."""

        def add(function: Callable[..., Any]) -> Any:
            text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(function.__doc__ or ""))
            given: dict[str, Any] = {"help": text, "cls": _Command, "context_settings": _HELP} | settings
            return super(Program, self).command(name, **given)(function)

        return add
