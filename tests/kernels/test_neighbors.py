"""The kernel for neighbours answers what counting in Python gives, and nothing where that hangs on a tie."""

from __future__ import annotations

import threading
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.kernels import Neighbors, absent

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 5))
LABELS = RNG.integers(3, size=60).astype(np.int32)
TARGETS = RNG.normal(size=(60, 2))
ROWS = RNG.normal(size=(7, 5))


def neighbors(**changes: Any) -> Neighbors:
    settled = {
        "points": POINTS, "targets": LABELS, "n_neighbors": 5, "n_classes": 3, "is_squared": True,
        "is_weighted": False, "tree": None,
    }  # fmt: skip
    return Neighbors(**{**settled, **changes})


def vote(one: Neighbors, rows: Any) -> Any:
    """Return the labels, or None where the kernel leaves it to others."""
    labels = np.full(len(rows), -1, np.int32)
    return None if one.vote(rows, labels) else labels


def average(one: Neighbors, rows: Any, n_outputs: int) -> Any:
    values = np.full((len(rows), n_outputs), np.nan)
    return None if one.average(rows, values) else values


def distances_to(row: Any, *, is_squared: bool) -> Any:
    apart = np.abs(POINTS - row)
    return (apart**2 if is_squared else apart).sum(axis=1)


def a_tree(points: Any = POINTS) -> tuple[Any, Any, Any]:
    """Cut the points in halves once: the root and two leaves."""
    order = np.argsort(points[:, 0], kind="stable").astype(np.int32)
    half, n_points = len(points) // 2, len(points)
    nodes = np.array([[0, n_points, 0], [0, half, 1], [half, n_points, 1]], np.int32)
    bounds = np.array([[find(points[order[a:b]], axis=0) for a, b, _ in nodes] for find in (np.min, np.max)])
    return order, nodes, bounds


@pytest.mark.parametrize("tree", [None, a_tree()], ids=["all", "tree"])
@pytest.mark.parametrize("is_squared", [True, False])
@pytest.mark.parametrize("n_neighbors", [1, 4, 60])
def test_the_nearest_are_counted_and_averaged(n_neighbors: int, is_squared: bool, tree: Any) -> None:
    asked = {"n_neighbors": n_neighbors, "is_squared": is_squared, "tree": tree}
    labels = vote(neighbors(**asked), ROWS)
    shares = average(neighbors(**asked), ROWS, 3)
    means = average(neighbors(**asked, targets=TARGETS, n_classes=0), ROWS, 2)
    for index, row in enumerate(ROWS):
        nearest = np.argsort(distances_to(row, is_squared=is_squared))[:n_neighbors]
        counts = np.bincount(LABELS[nearest], minlength=3)
        assert labels[index] == counts.argmax()
        np.testing.assert_array_equal(shares[index], counts / n_neighbors)
        np.testing.assert_allclose(means[index], TARGETS[nearest].mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("tree", [None, a_tree()], ids=["all", "tree"])
@pytest.mark.parametrize("is_squared", [True, False])
def test_the_nearest_weigh_most(is_squared: bool, tree: Any) -> None:
    asked = {"is_squared": is_squared, "is_weighted": True, "tree": tree}
    means = average(neighbors(**asked, targets=TARGETS, n_classes=0), ROWS, 2)
    shares, labels = average(neighbors(**asked), ROWS, 3), vote(neighbors(**asked), ROWS)
    for index, row in enumerate(ROWS):
        distances = distances_to(row, is_squared=is_squared)
        nearest = np.argsort(distances)[:5]
        weights = 1 / (np.sqrt(distances) if is_squared else distances)[nearest]
        np.testing.assert_allclose(
            means[index], np.average(TARGETS[nearest], axis=0, weights=weights), rtol=1e-9
        )
        counts = np.bincount(LABELS[nearest], weights, minlength=3)
        np.testing.assert_allclose(shares[index], counts / counts.sum(), rtol=1e-12)
        assert labels[index] == counts.argmax()


def test_points_at_no_distance_share_the_vote() -> None:
    points = np.array([[1.0], [1.0], [2.0], [3.0]])
    one = neighbors(
        points=points, targets=np.array([[4.0], [6.0], [100.0], [7.0]]), n_neighbors=3, n_classes=0,
        is_weighted=True,
    )  # fmt: skip
    np.testing.assert_array_equal(average(one, np.array([[1.0]]), 1), [[5.0]])


small = st.integers(-3, 3)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Any, Any, Any, int]:
    """Draw points and a row on a grid, where distances are often equal, labels, and how many count."""
    n_points, n_features = draw(st.integers(1, 12)), draw(st.integers(1, 21))
    lines = st.lists(small, min_size=n_features, max_size=n_features)
    points = draw(st.lists(lines, min_size=n_points, max_size=n_points))
    labels = draw(st.lists(st.integers(0, 2), min_size=n_points, max_size=n_points))
    return points, labels, draw(lines), draw(st.integers(1, n_points))


@settings(max_examples=400, deadline=None)
@given(questions(), st.booleans())
def test_a_row_is_answered_exactly_where_every_choice_among_the_equal_gives_the_same(
    question: tuple[Any, Any, Any, int], is_squared: bool
) -> None:
    points, labels, row, n_neighbors = question
    one = neighbors(
        points=np.array(points, float), targets=np.array(labels, np.int32), n_neighbors=n_neighbors,
        is_squared=is_squared,
    )  # fmt: skip
    power = 2 if is_squared else 1
    distances = [sum(abs(a - b) ** power for a, b in zip(point, row, strict=True)) for point in points]
    kth = sorted(distances)[n_neighbors - 1]
    sure = [label for label, apart in zip(labels, distances, strict=True) if apart < kth]
    equal = [label for label, apart in zip(labels, distances, strict=True) if apart == kth]
    missing = n_neighbors - len(sure)
    found = average(one, np.array([row], float), 3)
    if missing < len(equal) and len(set(equal)) > 1:
        assert found is None
        return
    counts = Counter(sure + equal[:missing])
    assert found.tolist() == [[float(Fraction(counts[label], n_neighbors)) for label in range(3)]]
    assert vote(one, np.array([row], float)).tolist() == [
        max(range(3), key=lambda label: (counts[label], -label))
    ]


def test_distances_that_rounding_cannot_tell_apart_are_equal() -> None:
    points = np.array([[1e6 + 1.0], [1e6 - 1.0 - 2**-20]])
    one = neighbors(points=points, targets=np.array([0, 1], np.int32), n_neighbors=1)
    assert vote(one, np.array([[1e6]])) is None
    assert vote(one, np.array([[1e6 + 0.5]])).tolist() == [0]


def test_a_tree_says_which_of_the_equally_near_are_taken() -> None:
    points = np.array([[0.0], [2.0], [2.0], [4.0]])
    labels = np.array([0, 1, 2, 0], np.int32)
    bounds = np.array([[[0.0]], [[4.0]]])
    for order, first in (([1, 0, 2, 3], 1), ([2, 0, 1, 3], 2)):
        tree = (np.array(order, np.int32), np.array([[0, 4, 1]], np.int32), bounds)
        one = neighbors(points=points, targets=labels, n_neighbors=1, tree=tree)
        assert vote(one, np.array([[2.0]])).tolist() == [first]


def test_averages_that_hang_on_the_order_of_the_sum_are_left_to_others() -> None:
    points = np.array([[0.0], [1.0], [2.0]])
    asked = {"points": points, "n_neighbors": 3, "n_classes": 0}
    row = np.array([[0.0]])
    assert average(neighbors(**asked, targets=np.array([[0.1], [0.2], [-0.3]])), row, 1) is None
    assert average(neighbors(**asked, targets=np.array([[1.0], [2.0], [-3.0]])), row, 1).tolist() == [[0.0]]
    assert average(neighbors(**asked, targets=np.zeros((3, 1))), row, 1).tolist() == [[0.0]]


def test_votes_by_weight_that_are_close_are_left_to_others() -> None:
    points, labels = np.array([[-1.0], [1.0 + 1e-12]]), np.array([1, 0], np.int32)
    one = neighbors(points=points, targets=labels, n_neighbors=2, is_weighted=True)
    assert vote(one, np.array([[0.0]])) is None
    assert vote(one, np.array([[0.5]])).tolist() == [0]


@pytest.mark.parametrize("tree", [None, a_tree()], ids=["all", "tree"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e60])
def test_rows_that_are_not_finite_or_huge_are_not_answered(value: float, tree: Any) -> None:
    rows = np.zeros((3, 5))
    rows[2, 4] = value
    assert vote(neighbors(tree=tree), rows) is None


def test_no_rows_have_no_answers() -> None:
    assert vote(neighbors(), np.empty((0, 5))).tolist() == []


def test_many_threads_may_ask_at_once() -> None:
    points = RNG.normal(size=(3000, 8))
    one = neighbors(points=points, targets=(points[:, 0] > 0).astype(np.int32))
    rows = RNG.normal(size=(50, 8))  # enough work to give up the GIL
    expected = vote(one, rows).tolist()
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(vote(one, rows).tolist())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 4


ORDER, NODES, BOUNDS = a_tree()


@pytest.mark.parametrize("changes", [
    {"points": POINTS[:, :0].copy()}, {"points": POINTS[0]}, {"points": POINTS.astype(np.float32)},
    {"points": np.full((60, 5), np.nan)}, {"points": np.full((60, 5), 1e60)}, {"points": POINTS[:4].copy()},
    {"n_neighbors": 0}, {"n_neighbors": 61}, {"targets": LABELS[:59].copy()}, {"targets": LABELS - 1},
    {"targets": LABELS + 1}, {"targets": LABELS.astype(float)}, {"n_classes": 0},
    {"n_classes": 0, "targets": TARGETS[:59].copy()}, {"n_classes": 0, "targets": np.full((60, 1), np.inf)},
    {"n_classes": 0, "targets": np.empty((60, 0))},
    {"tree": (ORDER[:59].copy(), NODES, BOUNDS)},
    {"tree": (ORDER + 1, NODES, BOUNDS)},
    {"tree": (ORDER - 1, NODES, BOUNDS)},
    {"tree": (ORDER, NODES[:2].copy(), BOUNDS[:, :2].copy())},
    {"tree": (ORDER, NODES + np.array([0, 1, 0]), BOUNDS)},
    {"tree": (ORDER, NODES - np.array([1, 0, 0]), BOUNDS)},
    {"tree": (ORDER, NODES * np.array([1, 0, 1]) + np.array([1, 0, 0]), BOUNDS)},
    {"tree": (ORDER, NODES, BOUNDS[:1].copy())},
    {"tree": (ORDER, NODES[:0].copy(), BOUNDS[:, :0].copy())},
    {"tree": (ORDER, NODES[:, :2].copy(), BOUNDS)},
    {"tree": (ORDER, NODES, BOUNDS[:, :, :4].copy())},
])  # fmt: skip
def test_arrays_that_contradict_each_other_are_refused(changes: Any) -> None:
    if "tree" in changes:
        order, nodes, bounds = changes["tree"]
        changes = {"tree": (order.astype(np.int32), nodes.astype(np.int32), bounds)}
    elif "targets" in changes and changes.get("n_classes") != 0 and changes["targets"].dtype.kind == "i":
        changes = {"targets": changes["targets"].astype(np.int32)}
    with pytest.raises(ValueError, match=r"expected|none|huge"):
        neighbors(**changes)


@pytest.mark.parametrize("tree", [(ORDER, NODES), ORDER, 1])
def test_what_is_no_tree_is_refused(tree: Any) -> None:
    with pytest.raises(TypeError, match="tree"):
        neighbors(tree=tree)


@pytest.mark.parametrize(("rows", "out", "error"), [
    (ROWS[:, :4].copy(), np.empty(7, np.int32), ValueError), (ROWS, np.empty(6, np.int32), ValueError),
    (ROWS, np.empty((7, 3)), ValueError), (ROWS.astype(np.float32), np.empty(7, np.int32), ValueError),
    (np.asfortranarray(ROWS), np.empty(7, np.int32), ValueError), (None, np.empty(7, np.int32), TypeError),
    (ROWS, b"0123456789012345678901234567", BufferError),
])  # fmt: skip
def test_rows_that_do_not_fit_are_refused(rows: Any, out: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        neighbors().vote(rows, out)


def test_averages_need_room_for_each_output() -> None:
    with pytest.raises(ValueError, match="out of"):
        neighbors().average(ROWS, np.empty((7, 2)))


def test_numbers_cannot_be_voted_for() -> None:
    with pytest.raises(TypeError, match="labels to vote for"):
        neighbors(targets=TARGETS, n_classes=0).vote(ROWS, np.empty(7, np.int32))


def test_without_the_kernels_there_are_none() -> None:
    with pytest.raises(RuntimeError, match="without its C kernels"):
        absent.Neighbors(POINTS, LABELS)
