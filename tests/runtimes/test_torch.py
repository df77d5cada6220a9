"""Models of PyTorch: what they take, what they answer, and through a real server."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.servers import serving
from tests.torch_models import ROWS, Digits, Mlp, Pair, Words, exported, made, own, save, scripted
from torch import nn
from torch.export import Dim

from demijohn import load
from demijohn.errors import ConfigurationError, LoadError, ModelError, ModelRefused
from demijohn.messages import Records, Rows
from demijohn.runtimes import inspect, wrap
from demijohn.runtimes import load as load_runtime
from demijohn.runtimes.graph import GraphRuntime
from demijohn.runtimes.hardware import HARDWARE


def runtime(model: Any, example: Any = None, **options: Any) -> GraphRuntime:
    found = wrap(model, example=example, **options)
    assert isinstance(found, GraphRuntime)
    return found


def answer(found: GraphRuntime, rows: Any) -> Any:
    given = Records(rows) if isinstance(rows[0], dict) else Rows(rows)
    outputs = found.run("predict", found.signature.validate(given), {})
    return outputs["predict"] if list(outputs) == ["predict"] else outputs


# Programs -----------------------------------------------------------------------------------


def test_a_program_says_itself_what_it_takes_and_returns() -> None:
    found = runtime(exported())
    assert str(found.signature) == "x: float32 (n_rows, 4)"
    assert found.signature.outputs["predict"][0].shape == (-1, 3)
    assert (found.framework, found.framework_version) == ("torch", torch.__version__)
    np.testing.assert_array_equal(answer(found, ROWS[:5].tolist()), own(made(Mlp), ROWS[:5]).numpy())


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_a_program_of_a_fixed_number_of_rows_is_filled_up_and_cut(n_rows: int) -> None:
    found = runtime(exported(Mlp, ROWS[:2], dynamic_shapes=None))
    np.testing.assert_allclose(
        answer(found, ROWS[:n_rows].tolist()), own(made(Mlp), ROWS[:n_rows]).numpy(), rtol=1e-5
    )


def test_a_program_gets_as_many_rows_as_its_range_allows() -> None:
    found = runtime(exported(Mlp, ROWS[:4], dynamic_shapes=({0: Dim("n", min=3, max=8)},)))
    assert (found.graph.limits.least, found.graph.limits.most) == (3, 8)
    for n_rows in (1, 3, 8, 20):
        result = answer(found, ROWS[:n_rows].tolist())
        np.testing.assert_allclose(result, own(made(Mlp), ROWS[:n_rows]).numpy(), rtol=1e-5)


def test_several_inputs_and_outputs_go_by_their_names() -> None:
    ids, weight = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([1.0, 2.0])
    found = runtime(exported(Words, ids, weight, dynamic_shapes=({0: Dim("n"), 1: Dim("t")}, {0: Dim("n")})))
    assert [(spec.name, spec.dtype, spec.shape) for spec in found.signature.inputs] == [
        ("ids", "int64", (-1, -1)), ("weight", "float32", (-1,)),
    ]  # fmt: skip
    outputs = answer(found, [{"ids": [1, 2, 3, 9], "weight": 0.5}])
    expected = own(made(Words), torch.tensor([[1, 2, 3, 9]]), torch.tensor([0.5]))
    assert list(outputs) == ["score", "mean"]
    for name, tensor in expected.items():
        np.testing.assert_array_equal(outputs[name], tensor.numpy())


def test_arguments_by_keyword_and_in_dicts_are_put_together_again() -> None:
    class Nested(nn.Module):
        def forward(self, parts: dict[str, torch.Tensor], *, scale: torch.Tensor) -> torch.Tensor:
            return (parts["a"] + parts["b"]) * scale

    parts = {"a": ROWS[:2], "b": ROWS[2:4]}
    program = torch.export.export(Nested().eval(), (parts,), {"scale": torch.ones(2, 1)})
    found = runtime(program)
    names = [spec.name for spec in found.signature.inputs]
    rows = [dict(zip(names, ([1, 2, 3, 4], [1, 1, 1, 1], [10]), strict=True))] * 2
    assert answer(found, rows).tolist() == [[20, 30, 40, 50]] * 2


def test_short_floats_that_numpy_has_not_are_taken_and_given_as_float32() -> None:
    program = torch.export.export(
        made(Mlp).bfloat16(), (ROWS[:2].bfloat16(),), dynamic_shapes=({0: Dim("n")},)
    )
    found = runtime(program)
    assert found.signature.inputs[0].dtype == "float32"
    expected = own(made(Mlp).bfloat16(), ROWS[:3].bfloat16()).float().numpy()
    result = answer(found, ROWS[:3].tolist())
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


def test_a_program_of_training_says_so() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).train()
    found = runtime(torch.export.export(module, (ROWS[:2],)))
    assert any("training mode" in warning for warning in found.warnings)
    assert runtime(exported()).warnings == ()


def test_a_file_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    path = save(exported(), tmp_path / "m.pt2")
    artifact = inspect(path)
    assert (artifact.format, artifact.framework, artifact.runs_code, artifact.survives_fork) == (
        "torch.export", "torch", True, False,
    )  # fmt: skip
    found = load_runtime(path)
    assert isinstance(found, GraphRuntime)
    assert found.digest() == f"{artifact.sha256} on cpu"
    np.testing.assert_array_equal(answer(found, ROWS.tolist()), own(made(Mlp), ROWS).numpy())


# Modules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "example", [ROWS[:2], ROWS[:2].numpy(), ROWS[:2].tolist(), [[1, 2, 3, 4]], (ROWS[:2],), {"x": ROWS[:2]}]
)
def test_an_example_says_what_a_module_takes(example: Any) -> None:
    found = runtime(made(Mlp), example=example)
    assert str(found.signature) == "x: float32 (n_rows, 4)"
    np.testing.assert_array_equal(answer(found, ROWS[:5].tolist()), own(made(Mlp), ROWS[:5]).numpy())


def test_whole_numbers_in_lists_are_whole_where_the_module_takes_no_others() -> None:
    module = nn.Sequential(nn.Embedding(20, 2), nn.Flatten()).eval()
    found = runtime(module, example=[[1, 2, 3]])
    assert found.signature.inputs[0].dtype == "int64"
    np.testing.assert_array_equal(answer(found, [[4, 5, 6]]), own(module, torch.tensor([[4, 5, 6]])).numpy())


def test_tensors_by_name_are_an_example_of_several_inputs() -> None:
    example = {"ids": torch.tensor([[1, 2]]), "weight": torch.tensor([1.0])}
    for given in (example, tuple(example.values()), [{"ids": [1, 2], "weight": 1.0}]):
        found = runtime(made(Words), example=given) if not isinstance(given, list) else None
        if found is not None:
            assert [spec.dtype for spec in found.signature.inputs] == ["int64", "float32"]


def test_columns_of_an_example_name_those_of_a_matrix() -> None:
    found = runtime(made(Mlp), example=[{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}])
    assert found.signature.columns == ("a", "b", "c", "d")
    record = dict(zip("abcd", ROWS[0].tolist(), strict=True))
    np.testing.assert_array_equal(answer(found, [record]), own(made(Mlp), ROWS[:1]).numpy())


def test_a_module_without_an_example_serves_what_is_known_of_it() -> None:
    found = runtime(made(Mlp))
    assert str(found.signature) == "x: float32 (n_rows, 4)"
    assert any("an example would" in warning for warning in found.warnings)
    with pytest.raises(
        LoadError, match="takes ids, weight, and does not say what these are: give an example"
    ):
        runtime(made(Words))


def test_a_module_is_not_changed() -> None:
    with pytest.raises(LoadError, match=r"Mlp is in training mode.*call \.eval\(\)"):
        runtime(made(Mlp).train(), example=ROWS[:1])
    module = nn.Sequential(nn.Identity()).eval()
    found = runtime(module, example=ROWS[:1])
    given = ROWS[:2].numpy().copy()
    result = found.run("predict", {"input": given}, {})["predict"]
    assert not np.shares_memory(result, given)


def test_read_only_arrays_go_in() -> None:
    found = runtime(made(Mlp), example=ROWS[:1])
    given = ROWS[:2].numpy().copy()
    given.flags.writeable = False
    np.testing.assert_array_equal(
        found.run("predict", {"x": given}, {})["predict"], own(made(Mlp), ROWS[:2]).numpy()
    )


def test_named_tuples_tuples_and_others() -> None:
    class Give(nn.Module):
        def __init__(self, give: Any) -> None:
            super().__init__()
            self.give = give

        def forward(self, x: torch.Tensor) -> Any:
            return self.give(x)

    def names(give: Any) -> list[str]:
        found = runtime(Give(give).eval(), example=ROWS[:2])
        return [spec.name for spec in found.signature.outputs["predict"]]

    assert names(lambda x: Pair(x - 1, x + 1)) == ["low", "high"]
    assert names(lambda x: (x, x.sum(1))) == ["output_0", "output_1"]
    assert names(lambda x: (x,)) == ["predict"]
    assert names(lambda x: {"a": x, "b": None, "c": (x, x)}) == ["a", "c_output_0", "c_output_1"]
    assert names(lambda x: x.to_sparse()) == ["predict"]
    with pytest.raises(
        ConfigurationError, match=r"does not take the example: ModelError.*a str, which is no tensor"
    ):
        names(str)


def test_an_example_that_a_module_does_not_take_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Mlp does not take the example: RuntimeError"):
        runtime(made(Mlp), example=[[1.0, 2.0]])


def test_what_a_model_refuses_is_the_rows_fault() -> None:
    handle = load(nn.Sequential(nn.Embedding(20, 2), nn.Flatten()).eval(), example=torch.tensor([[1, 2]]))
    with pytest.raises(ModelRefused, match="index out of range"):
        handle.predict([[1, 99]])


def test_a_model_that_runs_out_of_memory_fails() -> None:
    class Greedy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() == 0 else torch.empty(2**60)

    found = runtime(Greedy().eval(), example=torch.zeros(1, 2))
    with pytest.raises(ModelError, match="out of memory"):
        answer(found, [[1.0, 2.0]])


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(LoadError, match="A Tensor is no model"):
        runtime(ROWS)


def test_a_device_that_is_not_here_is_refused() -> None:
    for device in ("cuda", "tpu"):
        with pytest.raises(ConfigurationError, match=f"no device '{device}' here"):
            runtime(exported(), device=device)
    with pytest.raises(ConfigurationError, match="is on cpu: move it to meta"):
        runtime(made(Mlp), example=ROWS[:1], device="meta")
    assert runtime(exported(), device="cpu").methods == ("predict",)


def test_threads_are_as_many_as_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(HARDWARE, "threads", 1)
        runtime(exported())
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_missing_torch_is_told_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    path = save(exported(), tmp_path / "m.pt2")
    script = f"""
        import sys
        from demijohn import errors, runtimes

        sys.modules["torch"] = None
        try:
            runtimes.load({str(path)!r})
        except errors.MissingExtra as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    assert "needs torch, which is not installed" in done.stdout
    assert 'pip install "demijohn[torch]"' in done.stdout


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(exported(), tmp_path / "m.pt2")
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    with pytest.raises(LoadError, match=r"2\.9\.1 has known holes.*needs 2\.10 or later"):
        load_runtime(path)


# Through the socket -------------------------------------------------------------------------


def test_a_server_answers_as_pytorch_itself(tmp_path: Path) -> None:
    images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    ids, weight = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([1.0, 2.0])
    save(exported(Digits, images[:2]), tmp_path / "digits.pt2")
    save(
        exported(Words, ids, weight, dynamic_shapes=({0: Dim("n"), 1: Dim("t")}, {0: Dim("n")})),
        tmp_path / "words.pt2",
    )
    scripted(Mlp, tmp_path / "mlp.pt")
    (tmp_path / "rows.json").write_text("[[1, 2, 3, 4]]")
    files = [tmp_path / name for name in ("digits.pt2", "words.pt2", "mlp.pt")]
    example = f"mlp={tmp_path / 'rows.json'}"
    # Bit for bit is the framework's own: in one thread, as with several sums may have other last bits.
    own_bits = {"OMP_NUM_THREADS": "1", "DEMIJOHN_ACCELERATION": "off"}
    with serving(files, "--workers", "2", "--example", example, **own_bits) as server:
        for n_rows in (1, 64):
            for name, rows, kind in (("digits", images[:n_rows], Digits), ("mlp", ROWS[:n_rows], Mlp)):
                said = server.post(f"/models/{name}/predict", rows.tolist()).json()
                expected = own(made(kind), rows).numpy()
                np.testing.assert_array_equal(np.array(said["predictions"], np.float32), expected)
        body = {"inputs": {"ids": [[1, 2], [3, 4]], "weight": [0.5, 2]}}
        said = server.post("/models/words/predict", body).json()["predictions"]
        expected = own(made(Words), torch.tensor([[1, 2], [3, 4]]), torch.tensor([0.5, 2.0]))
        assert np.float32([row["score"] for row in said]).tolist() == expected["score"].tolist()
        assert server.post("/models/words/predict", [{"ids": [99], "weight": 1}]).status == 422
        described = server.get("/models/words").json()
        assert (described["framework"], described["plan"]["survives_fork"]) == ("torch", False)
