"""Outputs asked for by name."""

from __future__ import annotations

import numpy as np

from demijohn.named_outputs import gather, methods_by_name
from demijohn.signature import Signature
from demijohn.tensor_spec import TensorSpec

SIGNATURE = Signature(
    "matrix",
    (TensorSpec("inputs", "float64", (-1, 2)),),
    {
        "predict": (TensorSpec("predict"),),
        "look": (TensorSpec("left"), TensorSpec("right")),
        "again": (TensorSpec("left"),),
    },
)
METHODS = ("predict", "look", "again")


def test_a_name_is_a_method_or_an_output_of_the_first_that_has_it() -> None:
    names = methods_by_name(["look", "left", "predict", "nothing"], METHODS, SIGNATURE)
    assert names == {"look": "look", "left": "look", "predict": "predict", "nothing": "nothing"}


def test_a_method_gives_all_its_outputs_and_an_output_itself() -> None:
    one, two, three = (np.array([number]) for number in range(3))
    answers = {"predict": {"predict": one}, "look": {"left": two, "right": three}}
    assert gather({"right": "look", "predict": "predict"}, answers) == {"right": three, "predict": one}
    assert list(gather({"predict": "predict", "look": "look"}, answers)) == ["predict", "left", "right"]


def test_a_name_that_is_taken_stands_under_its_method() -> None:
    answers = {"look": {"left": np.array([1]), "right": np.array([2])}, "again": {"left": np.array([3])}}
    gathered = gather({"look": "look", "again": "again"}, answers)
    assert list(gathered) == ["left", "right", "again.left"]
    assert gathered["again.left"] == [3]
