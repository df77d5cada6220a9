"""``python -m demijohn``."""

from .cli import main

main()
