"""``python -m audioinceptionnext`` is ``ainext``."""

from audioinceptionnext.cli import main

main()
