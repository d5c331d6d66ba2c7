"""What goes wrong in a way that the user can mend."""


class AinextError(Exception):
    """One clear line for the user: which file or option, what is wrong, what to do.

    The command line prints the message alone; a traceback comes only with ``--debug``.
    """


def line_of(error: Exception, name: str) -> str:
    """What to say of an error of one file of many, in one line. ``name``: the file's, as it is shown."""
    return str(error) if isinstance(error, AinextError) else f"{name}: {unexpected(error)}"


def unexpected(error: Exception) -> str:
    """What to say of an error that nobody foresaw, in one line."""
    return " ".join(f"{type(error).__name__}: {error} (a bug; please report it, with what --debug shows)".splitlines())
