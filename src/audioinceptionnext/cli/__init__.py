"""The command ``ainext``. One thin file per command: parse, call, print."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from audioinceptionnext.cli.streams import OutputEnded, standard_streams
from audioinceptionnext.errors import AinextError, ParameterError, printable, unexpected

_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer.*": "give a whole number",
    "Input should be a valid number.*": "give a number",
    "Input should be greater than or equal to ": "give a number of at least ",
    "Input should be less than or equal to ": "give a number of at most ",
    "Input should be ": "give ",
}
_CLOSED_PIPE = 128 + 13  # as a shell states the end of a program by SIGPIPE


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit.

    The code is 0 if all was done, 1 if part of the input failed, and 2 if the call is wrong or results cannot be
    written. It is 130 after Ctrl-C, and 141 when the program that reads the output has ended, as in a shell.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Taken anywhere, since people add it at the end; what follows "--" are names of files.
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    arguments = [a for a in options if a != "--debug"] + arguments[len(options) :] or ["--help"]
    with standard_streams():
        try:
            try:
                code = _run(arguments, debug)
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 0
            sys.stdout.flush()
        except OutputEnded as ended:
            code = _CLOSED_PIPE if ended.reason is None else 2
            if ended.reason is not None:
                print(f"ainext: {ended.reason}", file=sys.stderr)
    sys.exit(code)


def _run(arguments: list[str], debug: bool) -> int:
    from audioinceptionnext.cli.app import app

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _in_one_line(warnings.showwarning)
            code = app(arguments, standalone_mode=False, prog_name="ainext")
    except KeyboardInterrupt:
        _fail("interrupted", 130, debug)
    except Exception as error:
        _report(error, arguments, debug)
    if code == 130:  # what newer versions of Typer make of Ctrl-C, without a word
        _fail("interrupted", 130, debug=False)
    return code if isinstance(code, int) else 0


def _in_one_line(show: Callable[..., None]) -> Callable[..., None]:
    """Print what this package warns of as the command line words it; ``show`` prints the warnings of others."""
    package = str(Path(__file__).parents[1])

    def shown(message: Warning | str, category: type[Warning], filename: str, *where: Any, **options: Any) -> None:
        if filename.startswith(package):
            print(f"ainext: warning: {printable(' '.join(str(message).splitlines()))}", file=sys.stderr)
        else:
            show(message, category, filename, *where, **options)

    return shown


def in_options(error: AinextError, arguments: list[str] | None = None) -> str:
    """The error's line as the command line words it: a parameter is called by its option, or by its ``--set``.

    Args:
        arguments: of the command line; those of this process unless given.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not isinstance(error, ParameterError):
        return str(error)
    names = _names(error.name, arguments)
    option = next((name for name in names if any(a.partition("=")[0] == name for a in arguments)), None)
    if option is None:
        changes = [argument.removeprefix("--set=") for argument in reversed(arguments)]  # the last one counts
        if change := next((one for one in changes if "=" in one and one.partition("=")[0].strip() == error.name), None):
            return f"--set {change}: {error.reason}"
        if not names:
            return str(error)
        option = names[0]
    value = "" if error.value is None or isinstance(error.value, bool) else f" {error.value}"
    return f"{option}{value}: {error.reason}"


def _names(parameter: str, arguments: list[str]) -> list[str]:
    """What the command that was called names a parameter: its options, or its place in the usage line."""
    import typer

    from audioinceptionnext.cli.app import app

    command: Any = typer.main.get_command(app)
    for argument in arguments:
        if argument in getattr(command, "commands", {}):
            command = command.commands[argument]
    option = f"--{parameter.replace('_', '-')}"  # an option may have another name in Python
    found = next((one for one in command.params if one.name == parameter or option in one.opts), None)
    if found is None:
        return []
    return list(found.opts) if found.opts[0].startswith("-") else [found.metavar or found.name]


def _report(error: Exception, arguments: list[str], debug: bool) -> NoReturn:
    """Print one line on stderr and exit with the code that fits."""
    if isinstance(error, AinextError):
        _fail(in_options(error, arguments), 2, debug)
    # Typer brings its own copy of click or uses the package, depending on its version.
    if callable(message := getattr(error, "format_message", None)):
        if not message():  # a group without a command has printed its help
            raise SystemExit(2)
        _fail(f"{_in_our_words(' '.join(message().split())).rstrip('.')} (see --help)", 2, debug)
    if type(error).__name__ == "Abort":
        _fail("interrupted", 130, debug)
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_with(error.name or "", arguments[0])):
        _fail(f"this needs a package that is not installed: pip install 'audioinceptionnext[{extra}]'", 2, debug)
    if isinstance(error, OSError) and error.filename is not None:
        _fail(f"{error.filename}: {(error.strerror or str(error)).lower()}", 2, debug)
    _fail(f"{unexpected(error)}; --debug shows where", 2, debug)


def _in_our_words(message: str) -> str:
    """What newer versions of Typer say of a wrong value, which are the words of pydantic."""
    for theirs, ours in _WORDS.items():
        message = re.sub(theirs, ours, message)
    return message


def _extra_with(module: str, command: str) -> str | None:
    """The extra that brings a missing module, together with the rest that the command needs."""
    extras = {
        "export": ("torch", "onnx", "onnxscript", "safetensors"),
        "train": ("lightning", "scipy", "pandas", "h5py", "yaml", "pydantic", "tensorboard"),
        "baselines": ("transformers",),
        "wandb": ("wandb",),
        "plot": ("matplotlib",),
        "serve": ("fastapi", "uvicorn", "starlette", "python_multipart", "prometheus_client"),
    }
    top = module.partition(".")[0]
    extra = next((extra for extra, modules in extras.items() if top in modules), None)
    trains = command in ("train", "cross-validate", "study", "explain")
    return "train" if extra in ("export", "plot") and trains else extra


def _fail(message: str, code: int, debug: bool) -> NoReturn:
    if debug:
        raise
    print(f"ainext: {printable(' '.join(message.splitlines()))}", file=sys.stderr)
    sys.exit(code)
