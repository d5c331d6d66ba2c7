"""What goes wrong in a way that the user can mend."""


class AinextError(Exception):
    """One clear line for the user: which file or option, what is wrong, what to do.

    The command line prints the message alone; a traceback comes only with ``--debug``.
    """


def unexpected(error: Exception) -> str:
    """What to say of an error that nobody foresaw, in one line."""
    return " ".join(f"{type(error).__name__}: {error} (a bug; please report it, with what --debug shows)".splitlines())
