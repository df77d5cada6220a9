"""The network kernel answers what numpy calculates, and nothing for what is no network."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.kernels.threads import check_in_threads

from demijohn import kernels
from demijohn.kernels import Network, absent
from demijohn.kernels.kinds import Kind

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

LARGEST = 1e9
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


FUNCTIONS: dict[str, tuple[tuple[int, float], Any]] = {
    "relu": ((Kind.RELU, 0.0), lambda x: np.maximum(x, 0)),
    "leaky relu": ((Kind.RELU, 0.25), lambda x: np.where(x > 0, x, 0.25 * x)),
    "capped": ((Kind.CAPPED, 1.5), lambda x: np.clip(x, 0, 1.5)),
    "elu": ((Kind.ELU, 0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "selu": (
        (Kind.SELU, 0.0),
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    ),
    "sigmoid": ((Kind.SIGMOID, 0.0), lambda x: 1 / (1 + np.exp(-x))),
    "silu": ((Kind.SILU, 0.0), lambda x: x / (1 + np.exp(-x))),
    "tanh": ((Kind.TANH, 0.0), np.tanh),
    "softplus": ((Kind.SOFTPLUS, 0.0), lambda x: np.log1p(np.exp(x))),
    "softsign": ((Kind.SOFTSIGN, 0.0), lambda x: x / (1 + np.abs(x))),
    "exponential": ((Kind.EXPONENTIAL, 0.0), np.exp),
    "gelu": ((Kind.GELU, 0.0), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
    "softmax": ((Kind.SOFTMAX, 0.0), softmax),
}


def run(network: Network, rows: Any) -> Any:
    answers = np.full((len(rows), network.n_outputs), np.nan, np.float32)
    assert network.run(rows, answers) == 0
    return answers


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3, 65])
@pytest.mark.parametrize("widths", [(30, 64, 64, 2), (1, 1), (5, 16), (17, 33, 15), (3, 5000, 4)], ids=str)
def test_layers_are_products_and_sums(widths: tuple[int, ...], n_rows: int) -> None:
    layers = [(floats(n_in, n_out) / n_in, floats(n_out)) for n_in, n_out in pairwise(widths)]
    rows = floats(n_rows, widths[0])
    wanted = rows.astype(np.float64)
    for weights, bias in layers:
        wanted = wanted @ weights + bias
    got = run(Network(widths[0], LARGEST, tuple((Kind.DENSE, *layer) for layer in layers)), rows)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max(initial=1))


@pytest.mark.parametrize(("step", "function"), FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_each_function_is_what_it_is_called(step: tuple[int, float], function: Any) -> None:
    rows = 4 * floats(50, 7)
    rows[0] = 0
    np.testing.assert_allclose(
        run(Network(7, LARGEST, (step,)), rows), function(rows.astype(np.float64)), rtol=1e-5, atol=1e-7
    )


def test_an_affine_step_takes_away_multiplies_and_adds() -> None:
    minus, times, plus, rows = floats(7), floats(7), floats(7), floats(3, 7)
    got = run(Network(7, LARGEST, ((Kind.AFFINE, minus, times, plus),)), rows)
    np.testing.assert_allclose(got, (rows - minus) * times + plus, rtol=1e-5, atol=1e-6)


def test_a_softmax_of_large_numbers_does_not_overflow() -> None:
    got = run(Network(2, LARGEST, ((Kind.SOFTMAX, 0.0),)), np.array([[1e8, 0], [-1e8, -1e8]], np.float32))
    np.testing.assert_array_equal(got, [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e9, -2e9])
def test_a_number_that_is_none_or_huge_is_not_answered(value: float) -> None:
    rows = floats(9, 3)
    network = Network(3, LARGEST, ((Kind.DENSE, floats(3, 2), floats(2)), (Kind.RELU, 0.0)))
    assert network.run(rows, np.empty((9, 2), np.float32)) == 0
    rows[8, 2] = value
    assert network.run(rows, np.empty((9, 2), np.float32)) == 1


def test_an_answer_that_overflows_is_not_given() -> None:
    network = Network(1, LARGEST, ((Kind.EXPONENTIAL, 0.0),))
    assert network.run(np.array([[1], [100]], np.float32), np.empty((2, 1), np.float32)) == 1


def test_any_number_of_threads_may_run_it() -> None:
    network = Network(8, LARGEST, ((Kind.DENSE, floats(8, 600), floats(600)), (Kind.TANH, 0.0)))
    check_in_threads(lambda rows: run(network, rows), [floats(300, 8) for _ in range(4)])


WEIGHTS, BIAS = floats(3, 2), floats(2)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, LARGEST, ()), ValueError),
        ((-1, LARGEST, ()), ValueError),
        ((2**40, LARGEST, ()), ValueError),
        ((3, LARGEST, []), TypeError),
        ((3, LARGEST, (7,)), TypeError),
        ((3, LARGEST, ((),)), TypeError),
        ((3, LARGEST, (("0", WEIGHTS, BIAS),)), TypeError),
        ((3, LARGEST, ((14, 0.0),)), ValueError),
        ((3, LARGEST, ((-1, 0.0),)), ValueError),
        ((3, LARGEST, ((Kind.RELU, "much"),)), TypeError),
        ((3, LARGEST, ((Kind.RELU, 0.0, 0.0),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, WEIGHTS),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, WEIGHTS, BIAS[:1]),)), ValueError),
        ((2, LARGEST, ((Kind.DENSE, WEIGHTS, BIAS),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, WEIGHTS, BIAS), (Kind.DENSE, WEIGHTS, BIAS))), ValueError),
        ((3, LARGEST, ((Kind.DENSE, WEIGHTS.astype(np.float64), BIAS),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, WEIGHTS, BIAS.astype(np.float64)),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, WEIGHTS[:, :0], BIAS[:0]),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, BIAS, BIAS),)), ValueError),
        ((3, LARGEST, ((Kind.DENSE, None, BIAS),)), TypeError),
        ((3, LARGEST, ((Kind.DENSE, np.asfortranarray(WEIGHTS), BIAS),)), ValueError),
        ((3, LARGEST, ((Kind.AFFINE, BIAS, BIAS, BIAS),)), ValueError),
        ((3, LARGEST, ((Kind.AFFINE, WEIGHTS[:, 0].copy(), WEIGHTS[:, 0].copy(), BIAS),)), ValueError),
    ],
)
def test_what_is_no_network_is_refused(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Network(*arguments)


@pytest.mark.parametrize(
    ("rows", "answers", "error"),
    [
        (floats(2, 4), floats(2, 2), ValueError),
        (floats(2, 3), floats(2, 3), ValueError),
        (floats(2, 3), floats(1, 2), ValueError),
        (floats(2, 3).astype(np.float64), floats(2, 2), ValueError),
        (floats(2, 3), floats(2, 2).astype(np.float64), ValueError),
        (floats(3), floats(2, 2), ValueError),
        (np.asfortranarray(floats(2, 3)), floats(2, 2), ValueError),
        (floats(2, 3), b"0123456789abcdef", BufferError),
        (None, floats(2, 2), TypeError),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: Any, answers: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Network(3, LARGEST, ((Kind.DENSE, WEIGHTS, BIAS),)).run(rows, answers)


def test_without_the_kernels_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="without its C kernels"):
        absent.Network(3, LARGEST, ())
