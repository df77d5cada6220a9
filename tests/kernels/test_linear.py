"""The linear kernel answers what every order of the sums gives, and says where that is not sure."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernels.threads import check_in_threads

from demijohn import kernels
from demijohn.kernels import Linear, absent

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

LARGEST = 1e50
RNG = np.random.default_rng(0)
WIDTHS = [(1, 1), (2, 1), (3, 2), (7, 1), (8, 1), (9, 3), (30, 1), (30, 8), (31, 9), (64, 10), (1500, 2)]


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape)


def linear_of(n_features: int, n_outputs: int, scaling: str = "") -> tuple[Any, Any, Any, Any]:
    minus = floats(n_features) if "minus" in scaling else None
    divide = RNG.uniform(0.5, 2, n_features) if "divide" in scaling else None
    bias = RNG.uniform(1, 2, n_outputs) * RNG.choice([-1, 1], n_outputs)
    return floats(n_features, n_outputs) / n_features, bias, minus, divide


def by_numpy(rows: Any, weights: Any, bias: Any, minus: Any, divide: Any) -> Any:
    rows = rows if minus is None else rows - minus
    rows = rows if divide is None else rows / divide
    return rows @ weights + bias


def scores(linear: Linear, rows: Any) -> Any:
    found = np.full((len(rows), linear.n_outputs), np.nan)
    assert linear.scores(rows, found) == 0
    return found


def winners(linear: Linear, rows: Any) -> Any:
    found = np.full(len(rows), -1)
    assert linear.winners(rows, found) == 0
    return found


@pytest.mark.parametrize("n_rows", [1, 2, 3, 65])
@pytest.mark.parametrize("scaling", ["", "minus", "divide", "minus, divide"])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_scores_are_products_and_sums(widths: tuple[int, int], scaling: str, n_rows: int) -> None:
    parts = linear_of(*widths, scaling)
    linear, rows = Linear(*parts, LARGEST), floats(n_rows, widths[0])
    wanted = by_numpy(rows, *parts)
    np.testing.assert_allclose(scores(linear, rows), wanted, rtol=5e-10)
    assert linear.n_outputs == widths[1]
    largest = wanted[:, 0] > 0 if widths[1] == 1 else wanted.argmax(1)
    np.testing.assert_array_equal(winners(linear, rows), largest)
    assert [linear.winner(rows[[row]]) for row in range(n_rows)] == largest.tolist()


def test_scores_are_written_to_any_shape_of_as_many_numbers() -> None:
    parts = linear_of(5, 1)
    linear, rows = Linear(*parts, LARGEST), floats(4, 5)
    flat = np.empty(4)
    assert linear.scores(rows, flat) == 0
    np.testing.assert_array_equal(flat, scores(linear, rows)[:, 0])


numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 1e-200, 1e16, 1e40])


@st.composite
def problems(draw: Any) -> tuple[Any, Any, Any]:
    n_features, n_outputs = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    lists = st.lists(numbers, min_size=n_features, max_size=n_features)
    weights = np.array(draw(st.lists(lists, min_size=n_outputs, max_size=n_outputs))).T.copy()
    bias = np.array(draw(st.lists(numbers, min_size=n_outputs, max_size=n_outputs)))
    return np.array([draw(lists)]), weights, bias


def exactly(row: Any, weights: Any, bias: Any) -> list[Fraction]:
    return [
        sum((Fraction(x) * Fraction(w) for x, w in zip(row, column, strict=True)), Fraction(b))
        for column, b in zip(weights.T, bias, strict=True)
    ]


def softmax(exact: list[Fraction]) -> list[float]:
    powers = [math.exp(max(score - max(exact), Fraction(-800))) for score in exact]
    return [power / sum(powers) for power in powers]


@settings(max_examples=500, deadline=None)
@given(problems())
def test_what_is_answered_is_true_of_the_exact_sums(problem: tuple[Any, Any, Any]) -> None:
    row, weights, bias = problem
    linear, exact = Linear(weights, bias, None, None, LARGEST), exactly(row[0], weights, bias)
    found = np.empty(len(exact))
    if linear.scores(row, found) == 0:
        for score, wanted in zip(found.tolist(), exact, strict=True):
            assert abs(Fraction(score) - wanted) <= Fraction(5e-10) * abs(wanted)
    chances = np.empty(max(2, len(exact)))
    if linear.probabilities(row, chances) == 0:
        np.testing.assert_allclose(
            chances, softmax([Fraction(0), *exact][-len(chances) :]), rtol=0, atol=1e-10
        )
    if (winner := linear.winner(row)) >= 0:
        if len(exact) == 1:
            assert winner == (exact[0] > 0)
        else:
            assert all(exact[winner] > other for index, other in enumerate(exact) if index != winner)


@settings(max_examples=200, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_another_order_of_the_sum_gives_the_same_winner(problem: tuple[Any, Any, Any], random: Any) -> None:
    row, weights, bias = problem
    order = list(range(len(weights)))
    random.shuffle(order)
    winner = Linear(weights, bias, None, None, LARGEST).winner(row)
    if winner >= 0:
        total = bias.copy()
        for index in order:
            total += row[0, index] * weights[index]
        assert winner == (int(total[0] > 0) if len(total) == 1 else int(total.argmax()))


@pytest.mark.parametrize("n_rows", [1, 40])
@pytest.mark.parametrize("n_outputs", [1, 2, 3, 9])
def test_probabilities_are_those_of_the_scores(n_outputs: int, n_rows: int) -> None:
    parts = linear_of(12, n_outputs, "minus, divide")
    linear, rows = Linear(*parts, LARGEST), 20 * floats(n_rows, 12)
    found = np.full((n_rows, max(2, n_outputs)), np.nan)
    assert linear.probabilities(rows, found) == 0
    wanted = by_numpy(rows, *parts)
    if n_outputs == 1:
        wanted = np.hstack([np.zeros_like(wanted), wanted])
    powers = np.exp(wanted - wanted.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-9, atol=1e-15)


def test_probabilities_of_large_scores_do_not_overflow() -> None:
    for scores_of_row, wanted in (([900.0], [0, 1]), ([-900.0], [1, 0]), ([900.0, 0.0], [1, 0])):
        found, bias = np.empty(2), np.array(scores_of_row)
        linear = Linear(np.zeros((1, len(bias))), bias, None, None, LARGEST)
        assert linear.probabilities(np.ones((1, 1)), found) == 0
        assert found.tolist() == wanted


# What it is not sure of ---------------------------------------------------------------------------


def test_a_score_whose_last_bits_are_all_that_is_left_is_not_answered() -> None:
    linear = Linear(np.array([[1.0], [1.0]]), np.zeros(1), None, None, LARGEST)
    out, row = np.empty(1), np.array([[1.0, -1.0 + 1e-7]])
    assert linear.scores(row, out) == 1, "1e-7 is not known to nine digits"
    assert linear.probabilities(row, np.empty(2)) == 0
    assert linear.winner(row) == 1
    row[0, 1] = -1.0 + 2**-52
    assert linear.winner(row) == -1


def test_a_score_of_nothing_but_zeros_is_not_answered() -> None:
    linear = Linear(floats(3, 1), np.zeros(1), None, None, LARGEST)
    assert (linear.scores(np.zeros((1, 3)), np.empty(1)), linear.winner(np.zeros((1, 3)))) == (1, -1)


@pytest.mark.parametrize("place", range(5))
def test_two_best_scores_that_are_too_close_have_no_winner(place: int) -> None:
    bias = np.zeros(5)
    bias[place] = bias[place - 1] = 1.0
    linear = Linear(np.zeros((2, 5)), bias, None, None, LARGEST)
    assert linear.winner(np.ones((1, 2))) == -1
    bias[place] += 1e-13
    assert Linear(np.zeros((2, 5)), bias, None, None, LARGEST).winner(np.ones((1, 2))) == place
    bias[place] = 1.0 + 2**-52
    assert Linear(np.zeros((2, 5)), bias, None, None, LARGEST).winner(np.ones((1, 2))) == -1


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e51, -1e51, 1e308])
@pytest.mark.parametrize("column", [0, 2, 8, 10])
def test_a_number_that_is_none_or_huge_is_not_answered(value: float, n_outputs: int, column: int) -> None:
    linear, rows = (
        Linear(np.ones((11, n_outputs)), np.arange(n_outputs) + 1.0, None, None, LARGEST),
        np.ones((9, 11)),
    )
    out = np.empty((9, n_outputs))
    assert linear.scores(rows, out) == 0
    rows[8, column] = value
    assert (
        linear.scores(rows, out)
        == linear.probabilities(rows, np.empty((9, max(2, n_outputs))))
        == linear.winners(rows, np.empty(9, np.int64))
        == 1
    )
    assert linear.winner(rows[8:]) == -1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_answered_though_its_weight_is_zero(value: float) -> None:
    for n_outputs in (1, 2):
        linear = Linear(np.zeros((3, n_outputs)), np.arange(n_outputs) + 1.0, None, None, LARGEST)
        assert linear.winner(np.ones((1, 3))) == n_outputs - 1 or n_outputs == 1
        assert linear.winner(np.array([[1.0, value, 1.0]])) == -1


def test_what_overflows_in_the_scaling_is_not_answered() -> None:
    linear = Linear(np.zeros((1, 1)), np.ones(1), None, np.array([1e-300]), LARGEST)
    assert (linear.winner(np.array([[1e3]])), linear.winner(np.array([[1e100]]))) == (1, -1)


@pytest.mark.parametrize(
    "rows",
    [
        np.asfortranarray(floats(2, 3)),
        floats(2, 6)[:, ::2],
        floats(2, 3).astype(np.float32),
        floats(2, 3).astype(">f8"),
        np.ones((2, 3), int),
        np.frombuffer(bytes(49), np.uint8)[1:].view(np.float64).reshape(2, 3),
        np.empty((0, 3)),
    ],
    ids=["Fortran", "strided", "float32", "big endian", "int", "not aligned", "no row"],
)
def test_rows_that_are_not_plain_float64_are_not_answered(rows: Any) -> None:
    linear = Linear(*linear_of(3, 1), LARGEST)
    assert linear.scores(rows, np.empty((len(rows), 1))) == 1
    assert linear.winners(rows, np.empty(len(rows), np.int64)) == 1
    assert linear.winner(rows[:1]) == -1


def test_several_rows_have_no_single_winner() -> None:
    assert Linear(np.zeros((2, 1)), np.ones(1), None, None, LARGEST).winner(np.ones((2, 2))) == -1


def test_rows_that_may_only_be_read_are_answered() -> None:
    linear, rows = Linear(*linear_of(3, 2), LARGEST), floats(2, 3)
    wanted = scores(linear, rows)
    rows.flags.writeable = False
    np.testing.assert_array_equal(scores(linear, rows), wanted)


def test_any_number_of_threads_may_run_it() -> None:
    linear = Linear(*linear_of(50, 9, "minus, divide"), LARGEST)

    def found(rows: Any) -> Any:
        out = np.empty((len(rows), 9))
        assert linear.probabilities(rows, out) == 0
        return out

    check_in_threads(found, [floats(700, 50) for _ in range(4)])


# What is refused ----------------------------------------------------------------------------------

WEIGHTS, BIAS, LINE = floats(3, 2), floats(2), floats(3)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((WEIGHTS, BIAS, None, None), TypeError),
        ((WEIGHTS, BIAS, None, None, "much"), TypeError),
        ((WEIGHTS, BIAS[:1], None, None, LARGEST), ValueError),
        ((WEIGHTS, LINE, None, None, LARGEST), ValueError),
        ((WEIGHTS, BIAS, BIAS, None, LARGEST), ValueError),
        ((WEIGHTS, BIAS, LINE, BIAS, LARGEST), ValueError),
        ((WEIGHTS, BIAS, LINE, 1.0, LARGEST), TypeError),
        ((WEIGHTS, BIAS[:, None], None, None, LARGEST), ValueError),
        ((LINE, BIAS, None, None, LARGEST), ValueError),
        ((WEIGHTS[:0], BIAS, None, None, LARGEST), ValueError),
        ((WEIGHTS[:, :0], BIAS[:0], None, None, LARGEST), ValueError),
        ((np.asfortranarray(WEIGHTS), BIAS, None, None, LARGEST), ValueError),
        ((WEIGHTS.astype(np.float32), BIAS, None, None, LARGEST), ValueError),
        ((WEIGHTS, BIAS.astype(np.float32), None, None, LARGEST), ValueError),
        ((WEIGHTS * np.nan, BIAS, None, None, LARGEST), ValueError),
        ((WEIGHTS, BIAS * np.inf, None, None, LARGEST), ValueError),
        ((None, BIAS, None, None, LARGEST), TypeError),
    ],
)
def test_what_is_no_linear_model_is_refused(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Linear(*arguments)


@pytest.mark.parametrize(
    ("rows", "out", "error"),
    [
        (floats(2, 4), floats(2, 2), ValueError),
        (floats(3), floats(2, 2), ValueError),
        (floats(2, 3, 1), floats(2, 2), ValueError),
        (floats(2, 3), floats(2), ValueError),
        (floats(2, 3), floats(3, 2), ValueError),
        (floats(2, 3), floats(2, 2).astype(np.float32), ValueError),
        (floats(2, 3), np.empty(4, np.int64), ValueError),
        (floats(2, 3), floats(2, 4)[:, ::2], ValueError),
        (floats(2, 3), bytes(32), BufferError),
        (None, floats(2, 2), TypeError),
    ],
)
def test_rows_and_room_that_do_not_fit_are_refused(rows: Any, out: Any, error: type[Exception]) -> None:
    linear = Linear(WEIGHTS, BIAS, None, None, LARGEST)
    with pytest.raises(error):
        linear.scores(rows, out)


@pytest.mark.parametrize(
    "out", [floats(2), np.empty(2, np.int32), np.empty(3, np.int64), np.empty(1, np.int64)]
)
def test_room_for_winners_is_an_int64_for_each_row(out: Any) -> None:
    with pytest.raises(ValueError, match="out"):
        Linear(WEIGHTS, BIAS, None, None, LARGEST).winners(floats(2, 3), out)


def test_a_call_with_another_number_of_arguments_is_refused() -> None:
    linear = Linear(WEIGHTS, BIAS, None, None, LARGEST)
    for call in (linear.scores, linear.probabilities, linear.winners):
        with pytest.raises(TypeError):
            call(floats(2, 3))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="n_rows"):
        linear.winner(floats(1, 4))


def test_without_the_kernels_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="without its C kernels"):
        absent.Linear(WEIGHTS, BIAS, None, None, LARGEST)
