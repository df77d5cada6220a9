import numpy as np
import pytest

from demijohn.errors import LoadError
from demijohn.runtimes.boosted_trees import (
    BoostedTree,
    Unreadable,
    check_tree,
    labels_by_sign,
    labels_of_best,
    packed_sets,
)


def tree(left, right, feature=None):
    n_nodes = len(left)
    return BoostedTree(
        feature=np.array(feature or [0] * n_nodes),
        threshold=np.zeros(n_nodes),
        left=np.array(left),
        right=np.array(right),
        missing_left=np.zeros(n_nodes, bool),
        values=np.zeros((n_nodes, 1)),
        leaf_names=np.arange(n_nodes),
    )


def test_a_sound_tree_passes():
    check_tree(tree([1, -1, -1], [2, -1, -1]), 1)


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        ([1, -1], [2, -1], "outside"),
        ([1, -1, -1], [-1, -1, -1], "outside"),
        ([1, 0, -1], [2, 2, -1], "leads back"),
        ([1, 2, 1, -1], [3, 3, 3, -1], "leads back"),
        ([], [], "contradict"),
    ],
)
def test_a_tree_that_leads_elsewhere_is_refused(left, right, why):
    with pytest.raises(LoadError, match=why):
        check_tree(tree(left, right), 1)


@pytest.mark.parametrize("feature", [-1, 3])
def test_a_column_that_is_not_there_is_refused(feature):
    with pytest.raises(LoadError, match="column"):
        check_tree(tree([1, -1, -1], [2, -1, -1], [feature, 0, 0]), 3)


def test_sets_are_bits_and_have_an_end():
    assert packed_sets([[0, 33, 255]]).tolist() == [[1, 2, 0, 0, 0, 0, 0, 2**31]]
    with pytest.raises(Unreadable, match="256"):
        packed_sets([[256]])


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_sign_names_a_label_unless_rounding_could(n_rows):
    finish = labels_by_sign(lambda sums: sums[:, 0], np.array(["no", "yes"]), 1e-6)
    for score, label in ((0.5, "yes"), (-0.5, "no"), (0.0, "no")):
        assert finish(np.full((n_rows, 1), score)).tolist() == [label] * n_rows
    assert finish(np.full((n_rows, 1), 1e-7)) is None


@pytest.mark.parametrize("n_rows", [1, 3])
def test_the_best_names_a_label_unless_rounding_could(n_rows):
    finish = labels_of_best(lambda sums: sums, np.arange(3), 1e-6)
    for row, label in (([0.0, 2.0, 1.0], 1), ([1.0, 1.0, 0.0], 0)):
        assert finish(np.array([row] * n_rows)).tolist() == [label] * n_rows
    assert finish(np.array([[0.0, 1.0, 1.0 + 1e-7]] * n_rows)) is None


def test_an_answer_that_is_written_to_does_not_change_the_next():
    finish = labels_by_sign(lambda sums: sums[:, 0], np.array([0, 1]), 1e-6)
    finish(np.ones((1, 1)))[0] = 7
    assert finish(np.ones((1, 1))).tolist() == [1]
