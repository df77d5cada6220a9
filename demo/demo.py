"""Fit five models on data that scikit-learn ships, save them and a function, and serve all of them.

Usage: ``make demo``, or ``python demo/demo.py [options of demijohn serve]``. The models, and
example rows for each, are kept under ``build/demo``; one is fitted again only when a file is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

NAMES = ("cancer-logistic", "cancer-forest", "diabetes", "wine-cultivar")
DIGITS = "digits"  #: A Keras model, of images.
FUNCTION = "body-mass-index"
ROOT = Path(__file__).resolve().parent.parent
DEMO = Path("build", "demo")


def main() -> None:
    """Make what is missing, then become ``demijohn serve``."""
    os.chdir(ROOT)
    # Importing scikit-learn takes longer than all the rest here; a second start does without it.
    if not _are_there(NAMES):
        from models import save_missing

        save_missing(model_file, example_file)
    if not _are_there([DIGITS]):
        from digits import save

        save(model_file(DIGITS), example_file(DIGITS))
    if not _are_there([FUNCTION]):
        import functions

        functions.save(model_file(FUNCTION), example_file(FUNCTION))
    # The file of a function holds its name; whoever loads it imports the module.
    paths = [str(ROOT / "demo"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    serve = Path(sys.executable).with_name("demijohn")
    names = (*NAMES, DIGITS, FUNCTION)
    models = [f"{name}={model_file(name)}" for name in names]
    examples = [f"--example={name}={example_file(name)}" for name in names]
    os.execv(serve, [str(serve), "serve", *models, *examples, *sys.argv[1:]])  # noqa: S606  there is no shell


def model_file(name: str) -> Path:
    """Where a fitted model is kept."""
    return DEMO / "models" / f"{name}.{'keras' if name == DIGITS else 'joblib'}"


def example_file(name: str) -> Path:
    """Where example rows of a model are kept: CSV, the first row is the header; images as JSON."""
    return DEMO / "examples" / f"{name}.{'json' if name == DIGITS else 'csv'}"


def _are_there(names: Iterable[str]) -> bool:
    return all(model_file(name).exists() and example_file(name).exists() for name in names)


if __name__ == "__main__":
    main()
