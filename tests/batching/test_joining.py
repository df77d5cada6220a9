"""What is joined, what runs alone, and that nobody can tell the difference by the answer."""

from __future__ import annotations

import random
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.batching.rig import CALLERS, PATIENCE_S, MakeRig, Rig, x

from demijohn.errors import DeadlineExceeded, ModelError, QueueFull
from demijohn.messages import Tensors


def test_a_model_whose_rows_are_dear_is_not_joined_into_long_calls(make_rig: MakeRig) -> None:
    def dear(_: str, tensors: Tensors, __: Any) -> Tensors:
        rig.clock.now += 0.02 * len(tensors["x"])
        return {"y": tensors["x"]}

    rig = make_rig(dear, max_queue_s=1.0)
    rig.submit(x(0))
    with rig.busy():
        asked = [rig.enqueue(x(value)) for value in range(6)]
    for value, future in enumerate(asked):
        assert future.result(PATIENCE_S)["y"].tolist() == [value]
    assert max(map(len, rig.rows_of_calls())) == 2  # 0.05 s


def test_an_idle_model_runs_a_request_at_once_and_alone(rig: Rig) -> None:
    assert rig.submit(x(1, 2))["y"].tolist() == [2, 4]
    assert rig.submit(x(3))["y"].tolist() == [6]
    assert rig.rows_of_calls() == [[1, 2], [3]]
    assert rig.watch.n_changes == 0


def test_what_arrives_while_the_model_is_busy_goes_together_in_its_next_call(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(1, 2)), rig.enqueue(x(3)), rig.enqueue(x(4, 5, 6))]
    assert [future.result()["y"].tolist() for future in asked] == [[2, 4], [6], [8, 10, 12]]
    assert rig.rows_of_calls() == [[1, 2, 3, 4, 5, 6]]
    assert rig.watch.calls[-1] == ("predict", 6, 3, 0.0)


def test_the_observer_hears_how_long_a_calls_requests_had_waited(rig: Rig) -> None:
    rig.submit(x(1))
    with rig.busy():
        asked = [rig.enqueue(x(1))]
        rig.clock.now += 2.0
        asked.append(rig.enqueue(x(2)))
        rig.clock.now += 1.0
    wait(asked)
    assert rig.watch.waited_s == [0.0, 0.0, 4.0]  # alone, the call that kept the model busy, both


def test_after_a_joined_call_that_failed_its_members_wait_anew(make_rig: MakeRig) -> None:
    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        rig.clock.now += 1.0
        return refuse_negative(_, tensors, __)

    rig = make_rig(run)
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x(-2))]
    wait(asked)
    assert rig.watch.waited_s[1:] == [0.0, 0.0, 1.0]  # joined, the first alone, the second alone


@pytest.mark.parametrize(
    ("other", "method"),
    [
        (x(1, dtype=np.int32), "predict"),
        ({"x": np.ones((1, 2), np.int64)}, "predict"),
        ({"z": np.ones(1, np.int64)}, "predict"),
        (x(1), "transform"),
    ],
    ids=["dtype", "row shape", "name", "method"],
)
def test_only_requests_of_one_layout_are_joined(make_rig: MakeRig, other: Tensors, method: str) -> None:
    rig = make_rig(lambda _, tensors, __: tensors)
    rig.batcher.allow_joining("transform")
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(other, method=method), rig.enqueue(x(2))]
    for future in asked:
        future.result()
    # The third joins the first, which is the oldest and decides; the second comes next.
    assert [len(next(iter(tensors.values()))) for _, tensors, _ in rig.calls] == [2, 1]
    assert rig.calls[1][0] == method


def test_requests_with_parameters_run_alone(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(i), parameters={"k": 1}) for i in range(3)]
    assert [future.result()["y"].tolist() for future in asked] == [[0], [2], [4]]
    assert [parameters for _, _, parameters in rig.calls] == [{"k": 1}] * 3


def test_requests_of_a_method_that_nobody_vouched_for_run_alone(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(i), method="fold") for i in range(3)]
    assert [future.result()["y"].tolist() for future in asked] == [[0], [2], [4]]
    assert rig.rows_of_calls() == [[0], [1], [2]]


@pytest.mark.parametrize("n_rows", [8, 9, 100])
def test_a_request_as_large_as_a_batch_runs_alone_and_whole(rig: Rig, n_rows: int) -> None:
    with rig.busy():
        small = rig.enqueue(x(1))
        large = rig.enqueue(x(*range(n_rows)))
        late = rig.enqueue(x(2))
    assert large.result()["y"].tolist() == [2 * i for i in range(n_rows)]
    assert rig.rows_of_calls() == [[1, 2], list(range(n_rows))]
    assert (small.result()["y"].tolist(), late.result()["y"].tolist()) == ([2], [4])


def test_a_request_without_rows_runs_alone(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x()), rig.enqueue(x(2))]
    assert [future.result()["y"].tolist() for future in asked] == [[2], [], [4]]
    assert rig.rows_of_calls() == [[1, 2], []]


def test_who_does_not_fit_is_not_overtaken_by_those_of_its_layout(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(*range(n))) for n in (5, 4, 3)]
    for future in asked:
        future.result()
    assert [len(rows) for rows in rig.rows_of_calls()] == [5, 7]


def test_a_full_batch_leaves_the_rest_for_the_next_call(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(i, i)) for i in range(5)]
    for future in asked:
        future.result()
    assert [len(rows) for rows in rig.rows_of_calls()] == [8, 2]


def test_the_oldest_request_always_goes_next(rig: Rig) -> None:
    rig.batcher.allow_joining("transform")
    with rig.busy():
        asked = [rig.enqueue(x(0, 0, 0, 0, 0, 0, 0), method="transform")]
        asked += [rig.enqueue(x(i, i, i, i), method=m) for i in range(1, 5) for m in ("predict", "transform")]
    for future in asked:
        future.result()
    assert [tensors["x"].tolist()[0] for _, tensors, _ in rig.calls] == [0, 1, 1, 3, 3]
    assert [method for method, _, _ in rig.calls] == [
        "transform",
        "predict",
        "transform",
        "predict",
        "transform",
    ]


def test_an_answer_holds_nobody_elses_rows(make_rig: MakeRig) -> None:
    rig = make_rig(lambda _, tensors, __: {"y": tensors["x"], "z": np.broadcast_to(7, len(tensors["x"]))})
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x(2))]
    first, second = (future.result() for future in asked)
    assert first["y"].base is None
    first["z"][0] = 0
    assert second["z"].tolist() == [7]


def test_objects_and_texts_are_joined_as_they_are(make_rig: MakeRig) -> None:
    rig = make_rig(lambda _, tensors, __: {"y": tensors["x"]})
    with rig.busy():
        asked = [rig.enqueue(x("a", None, dtype=object)), rig.enqueue(x(3.5, dtype=object))]
    assert [future.result()["y"].tolist() for future in asked] == [["a", None], [3.5]]
    assert len(rig.calls) == 1


# When a joined call fails -----------------------------------------------------------------


def refuse_negative(_: str, tensors: Tensors, __: Any) -> Tensors:
    if (tensors["x"] < 0).any():
        raise ValueError(f"negative: {tensors['x'].min()}")
    return {"y": tensors["x"] * 2}


def drop_negative(_: str, tensors: Tensors, __: Any) -> Tensors:
    return {"y": tensors["x"][tensors["x"] >= 0] * 2}


def test_a_bad_row_fails_alone(make_rig: MakeRig) -> None:
    rig = make_rig(refuse_negative)
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x(2, -3)), rig.enqueue(x(4)), rig.enqueue(x(-5))]
    assert asked[0].result()["y"].tolist() == [2]
    assert asked[2].result()["y"].tolist() == [8]
    with pytest.raises(ValueError, match=r"^negative: -3$"):
        asked[1].result()
    with pytest.raises(ValueError, match=r"^negative: -5$"):
        asked[3].result()
    assert rig.rows_of_calls() == [[1, 2, -3, 4, -5], [1], [2, -3], [4], [-5]]


def test_a_joined_call_that_loses_rows_is_made_again_one_by_one(make_rig: MakeRig) -> None:
    rig = make_rig(drop_negative)
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x(-2)), rig.enqueue(x(3))]
    assert asked[0].result()["y"].tolist() == [2]
    assert asked[2].result()["y"].tolist() == [6]
    with pytest.raises(ModelError, match=r"'y' of shape \(0,\) for 1 rows"):
        asked[1].result()


def test_an_output_without_rows_is_an_error_of_the_model(make_rig: MakeRig) -> None:
    rig = make_rig(lambda *_: {"y": np.float64(1.0)})
    with pytest.raises(ModelError, match=r"shape \(\) for 1 rows"):
        rig.submit(x(1))


def test_after_a_failed_call_a_member_past_its_deadline_is_not_run(make_rig: MakeRig) -> None:
    def run(method: str, tensors: Tensors, parameters: Any) -> Tensors:
        rig.clock.now += 10
        return refuse_negative(method, tensors, parameters)

    rig = make_rig(run)
    with rig.busy():
        asked = [rig.enqueue(x(-1)), rig.enqueue(x(2), within_s=15.0), rig.enqueue(x(3))]
    with pytest.raises(DeadlineExceeded):
        asked[1].result(PATIENCE_S)
    assert asked[2].result()["y"].tolist() == [6]
    assert rig.rows_of_calls() == [[-1, 2, 3], [-1], [3]]
    with pytest.raises(ValueError, match="negative: -1"):
        asked[0].result()


# Any mix ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request of a random mix; ``rows`` are told apart by their first column."""

    method: str
    n_rows: int
    dtype: type
    width: int
    has_parameters: bool
    fate: str  # "fine", or what the model does on its rows, or "expired"


MIXES = st.lists(
    st.builds(
        Asked,
        method=st.sampled_from(["predict", "predict", "transform", "alone"]),
        n_rows=st.integers(0, 10),
        dtype=st.sampled_from([np.int64, np.int64, np.float64, object]),
        width=st.integers(1, 2),
        has_parameters=st.sampled_from([False, False, False, True]),
        fate=st.sampled_from(["fine", "fine", "fine", "raises", "exits", "loses a row", "expired"]),
    ),
    min_size=1,
    max_size=12,
)
RAISES, EXITS, LOSES = -1, -2, -3
MARKS = {"raises": RAISES, "exits": EXITS, "loses a row": LOSES}


def whimsical(method: str, tensors: Tensors, parameters: Any) -> Tensors:
    rows = tensors["x"]
    first = rows[:, 0].tolist()
    if RAISES in first:
        raise ValueError("no")
    if EXITS in first:
        raise SystemExit(3)
    factor = {"predict": 2, "transform": 3, "alone": 5}[method] + 100 * len(parameters)
    doubled = rows * factor
    return {"y": doubled[:-1] if LOSES in first else doubled, "id": rows[:, 0].copy()}


def draw_rows(asked: Asked, start: int) -> Tensors:
    rows = np.arange(start, start + asked.n_rows)[:, None] * np.ones((1, asked.width), np.int64)
    if asked.n_rows:
        rows[-1] = MARKS.get(asked.fate, rows[-1])
    return {"x": rows.astype(asked.dtype)}


def check_answer(asked: Asked, tensors: Tensors, future: Future[Tensors]) -> None:
    error = future.exception(PATIENCE_S)
    if asked.fate == "expired":
        assert isinstance(error, QueueFull)
    elif asked.fate == "fine" or not asked.n_rows:
        alone = whimsical(asked.method, tensors, {"k": 1} if asked.has_parameters else {})
        answer = future.result()
        assert answer.keys() == alone.keys()
        for name, values in alone.items():
            assert answer[name].dtype == values.dtype
            assert answer[name].tolist() == values.tolist()
    else:
        assert type(error) is (ValueError if asked.fate == "raises" else ModelError)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(mix=MIXES)
def test_in_any_mix_everybody_gets_the_answer_of_their_rows_alone(mix: list[Asked]) -> None:
    rig = Rig(whimsical)
    rig.batcher.allow_joining("transform")
    asked = []
    with rig.busy():
        for number, request in enumerate(mix):
            tensors = draw_rows(request, 100 * number)
            future = rig.enqueue(
                tensors,
                method=request.method,
                parameters={"k": 1} if request.has_parameters else {},
                within_s=5.0 if request.fate == "expired" else PATIENCE_S,
            )
            asked.append((request, tensors, future))
        rig.clock.now += 10
    for request, tensors, future in asked:
        check_answer(request, tensors, future)
    rig.close()
    assert rig.batcher.queue_rows == rig.watch.queue_rows == 0
    check_calls(rig, mix)


def check_calls(rig: Rig, mix: list[Asked]) -> None:
    expired = {100 * i + k for i, asked in enumerate(mix) if asked.fate == "expired" for k in range(10)}
    for _, tensors, _ in rig.calls:
        numbers = [number for number in tensors["x"][:, 0].tolist() if number >= 0]
        assert not expired.intersection(numbers)
        is_joined = len({int(number) // 100 for number in numbers}) > 1
        assert len(tensors["x"]) <= (8 if is_joined else 10)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 7), min_size=2, max_size=20), seed=st.integers(0, 1000))
def test_on_real_numbers_a_joined_answer_is_within_1e_12_of_the_one_alone(
    sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(30, 3))
    rig = Rig(lambda _, tensors, __: {"y": np.tanh(tensors["x"] @ weights)}, max_batch_size=64)
    inputs = [{"x": rng.normal(size=(size, 30))} for size in sizes]
    with rig.busy():
        asked = [rig.enqueue(tensors) for tensors in inputs]
    for tensors, future in zip(inputs, asked, strict=True):
        np.testing.assert_allclose(
            future.result()["y"], np.tanh(tensors["x"] @ weights), rtol=1e-12, atol=1e-13
        )
    rig.close()


def test_under_a_crowd_nobody_gets_a_strangers_answer(make_rig: MakeRig) -> None:
    rig = make_rig(whimsical, concurrency=2)
    rig.batcher.allow_joining("transform")

    def client(number: int) -> None:
        rng = random.Random(number)
        for i in range(300):
            fate = rng.choice(["fine", "fine", "fine", "fine", "raises"])
            asked = Asked(rng.choice(["predict", "transform"]), rng.randint(1, 5), np.int64, 1, False, fate)
            tensors = draw_rows(asked, 100_000 * number + 100 * i)
            if fate == "fine":
                answer = rig.submit(tensors, method=asked.method)
                assert answer["id"].tolist() == tensors["x"][:, 0].tolist()
            else:
                with pytest.raises(ValueError, match="no"):
                    rig.submit(tensors, method=asked.method)

    for future in [CALLERS.submit(client, number) for number in range(16)]:
        future.result(PATIENCE_S)
    assert any(n_requests > 1 for _, _, n_requests, _ in rig.watch.calls)
