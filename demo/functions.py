"""A function of the demo: any function is a model."""

from __future__ import annotations

from pathlib import Path

import joblib


def body_mass_index(weight_kg: float, height_m: float) -> float:
    """Return a person's weight over the square of their height, in kg/m²."""
    return weight_kg / height_m**2


def save(model_file: Path, example_file: Path) -> None:
    """Save the function by its name, as joblib does, and rows for it."""
    for file in (model_file, example_file):
        file.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(body_mass_index, model_file)
    example_file.write_text("weight_kg,height_m\n70,1.75\n55,1.62\n")
