"""Fit four models on data that scikit-learn ships, save them, and serve them.

Usage: ``make demo``, or ``python demo/demo.py [options of demijohn serve]``. The models, and a CSV of
example rows for each, are kept under ``build/demo``; one is fitted again only when a file is missing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

NAMES = ("cancer-logistic", "cancer-forest", "diabetes", "wine-cultivar")
ROOT = Path(__file__).resolve().parent.parent
DEMO = Path("build", "demo")


def main() -> None:
    """Make what is missing, then become ``demijohn serve``."""
    os.chdir(ROOT)
    # Importing scikit-learn takes longer than all the rest here; a second start does without it.
    if not all(model_file(name).exists() and example_file(name).exists() for name in NAMES):
        from models import save_missing

        save_missing(model_file, example_file)
    serve = Path(sys.executable).with_name("demijohn")
    models = [f"{name}={model_file(name)}" for name in NAMES]
    examples = [f"--example={name}={example_file(name)}" for name in NAMES]
    os.execv(serve, [str(serve), "serve", *models, *examples, *sys.argv[1:]])  # noqa: S606  there is no shell


def model_file(name: str) -> Path:
    """Where a fitted model is kept."""
    return DEMO / "models" / f"{name}.joblib"


def example_file(name: str) -> Path:
    """Where example rows of a model are kept: CSV, the first row is the header."""
    return DEMO / "examples" / f"{name}.csv"


if __name__ == "__main__":
    main()
