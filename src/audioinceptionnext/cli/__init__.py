"""The command ``ainext``. One thin file a command: parse, call, print."""

from __future__ import annotations

import io
import sys

from audioinceptionnext.errors import AinextError, unexpected


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 all was done, 1 part of the input failed, 2 the call itself is wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Taken anywhere, since that is where people add it: at the end; but what follows "--" are names of files.
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    arguments = [a for a in options if a != "--debug"] + arguments[len(options) :] or ["--help"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # documents are UTF-8; a name that cannot be shown is no failure
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")
    from audioinceptionnext.cli.app import app

    try:
        code = app(arguments, standalone_mode=False, prog_name="ainext")
    except KeyboardInterrupt:
        _fail("interrupted", 130, debug)
    except Exception as error:
        _explain(error, arguments[0], debug)
    if code == 130:  # what newer versions of Typer make of Ctrl-C, without a word
        _fail("interrupted", 130, debug=False)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception, command: str, debug: bool) -> None:
    """One line on stderr, and the exit code that fits."""
    if isinstance(error, AinextError):
        _fail(str(error), 2, debug)
    # Typer brings its own copy of click or uses the package, by its version: known by what it can do.
    if callable(message := getattr(error, "format_message", None)):
        _fail(f"{' '.join(message().split())} (see --help)", 2, debug)
    if type(error).__name__ == "Abort":
        _fail("interrupted", 130, debug)
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_with(error.name or "", command)):
        _fail(f"this needs more than is installed: pip install 'audioinceptionnext[{extra}]'", 2, debug)
    if isinstance(error, OSError) and error.filename is not None:
        _fail(f"{error.filename}: {(error.strerror or str(error)).lower()}", 2, debug)
    _fail(unexpected(error), 2, debug)


def _extra_with(module: str, command: str) -> str | None:
    """The extra that brings a missing module, and the rest that the command needs."""
    extras = {
        "export": ("torch", "onnx", "onnxscript", "safetensors"),
        "train": ("lightning", "scipy", "pandas", "h5py", "yaml", "tensorboard"),
        "baselines": ("transformers",),
        "wandb": ("wandb",),
        "plot": ("matplotlib",),
        "serve": ("fastapi", "uvicorn", "starlette", "pydantic", "python_multipart", "prometheus_client"),
    }
    top = module.partition(".")[0]
    extra = next((extra for extra, modules in extras.items() if top in modules), None)
    trains = command in ("train", "cross-validate", "study", "explain")
    return "train" if extra in ("export", "plot") and trains else extra


def _fail(message: str, code: int, debug: bool) -> None:
    if debug:
        raise
    print(f"ainext: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(code)
