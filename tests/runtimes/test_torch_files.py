"""Files of PyTorch that were made to harm whoever loads them."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.servers import serving, until
from tests.torch_models import Mlp, exported, made, save, scripted

from demijohn import runtimes
from demijohn.errors import LoadError, UnknownFormat, UntrustedArtifact

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(exported(), tmp_path_factory.mktemp("program") / "m.pt2")


class Canary:
    """Whoever unpickles one leaves a folder behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def saved(thing: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def rewritten(source: Path, target: Path, change: Callable[[Members], None]) -> Path:
    """Write an archive anew, with members changed."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def changed(source: Path, target: Path, member: str, change: Callable[[Any], None]) -> Path:
    """Write an archive anew, with the JSON of one member changed."""

    def change_member(members: Members) -> None:
        name = next(name for name in members if name.endswith(member))
        document = json.loads(members[name])
        change(document)
        members[name] = json.dumps(document).encode()

    return rewritten(source, target, change_member)


def refuse(path: Path, error: type[LoadError], complaint: str) -> None:
    with pytest.raises(error, match=complaint) as caught:
        runtimes.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


# Formats ------------------------------------------------------------------------------------


def test_formats_are_told_by_their_content(tmp_path: Path, program: Path) -> None:
    shutil.copy(program, tmp_path / "anything")
    assert runtimes.inspect(tmp_path / "anything").format == "torch.export"
    artifact = runtimes.inspect(scripted(Mlp, tmp_path / "m.pt"))
    assert (artifact.format, artifact.runs_code, artifact.survives_fork) == ("TorchScript", True, False)


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    for name, thing in (("weights.pt", made(Mlp).state_dict()), ("canary.pt", Canary(tmp_path / "canary"))):
        (tmp_path / name).write_bytes(saved(thing))
        with pytest.raises(UnknownFormat, match=r"weights without a model .*torch\.export\.save"):
            runtimes.load(tmp_path / name)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["m.onnx", "m.skops", "m.keras"])
def test_code_is_not_loaded_from_a_name_that_promises_data(tmp_path: Path, program: Path, name: str) -> None:
    shutil.copy(program, tmp_path / name)
    refuse(tmp_path / name, UntrustedArtifact, "but a torch.export file, and loading one runs the code in it")


def test_code_is_not_loaded_where_none_is_allowed(tmp_path: Path, program: Path) -> None:
    for path in (program, scripted(Mlp, tmp_path / "m.pt")):
        with pytest.raises(UntrustedArtifact, match="name the file yourself"):
            runtimes.load(path, allow_code=False)


def test_the_older_layout_loads(tmp_path: Path) -> None:
    from torch._export.serde.serialize import serialize

    artifact = serialize(exported())
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.20")
        archive.writestr("serialized_exported_program.json", artifact.exported_program)
        archive.writestr("serialized_state_dict.pt", artifact.state_dict)
        archive.writestr("serialized_constants.pt", artifact.constants)
        archive.writestr("serialized_example_inputs.pt", artifact.example_inputs)
    assert str(runtimes.load(path).signature) == "x: float32 (n_rows, 4)"
    evil = rewritten(
        path, tmp_path / "evil.pt2",
        lambda members: members.update({"serialized_constants.pt": saved(Canary(tmp_path / "canary"))}),
    )  # fmt: skip
    refuse(evil, UntrustedArtifact, "a pickle of more than tensors")
    assert not (tmp_path / "canary").exists()


# Pickles inside -----------------------------------------------------------------------------


def test_a_pickle_among_the_sample_inputs_is_not_loaded(tmp_path: Path, program: Path) -> None:
    def add(members: Members) -> None:
        members["m/data/sample_inputs/model.pt"] = saved(Canary(tmp_path / "canary"))

    refuse(rewritten(program, tmp_path / "evil.pt2", add), UntrustedArtifact, "a pickle of more than tensors")
    assert not (tmp_path / "canary").exists()


def test_a_plain_pickle_among_the_sample_inputs_is_not_loaded(tmp_path: Path, program: Path) -> None:
    def add(members: Members) -> None:
        members["m/data/sample_inputs/model.pt"] = pickle.dumps(Canary(tmp_path / "canary"))

    refuse(rewritten(program, tmp_path / "evil.pt2", add), UntrustedArtifact, "a pickle of more than tensors")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("weights", "weight_0"), ("constants", "opaque_obj_0"), ("constants", "custom_obj_0")],
)
def test_a_pickle_in_the_place_of_a_tensor_is_not_loaded(
    tmp_path: Path, program: Path, folder: str, name: str
) -> None:
    def add(members: Members) -> None:
        config = f"m/data/{folder}/model_{folder}_config.json"
        document = json.loads(members[config])
        entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        document["config"] = {**document["config"], "l.weight": entry}
        members[config] = json.dumps(document).encode()
        members[f"m/data/{folder}/{name}"] = saved(Canary(tmp_path / "canary"))

    refuse(rewritten(program, tmp_path / "evil.pt2", add), UntrustedArtifact, r"more than tensors|own class")
    assert not (tmp_path / "canary").exists()


def test_what_is_trusted_is_loaded(tmp_path: Path, program: Path) -> None:
    def add(members: Members) -> None:
        members["m/data/sample_inputs/model.pt"] = saved((((Odd(),)), {}))

    path = rewritten(program, tmp_path / "odd.pt2", add)
    refuse(path, UntrustedArtifact, "more than tensors")
    assert runtimes.load(path, is_trusted=True).methods == ("predict",)


class Odd:
    """An object of a class of the author's own."""


# Programs that name more than operators -----------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "torch.serialization.os.system",
        "torch.load",
        "torch.ops.aten.save.default",
        "_operator.methodcaller",
        "torch.ops.aten.from_file.default",
        "#custom",
        "os.system",
        "_operator.call",
        "torch.hub.load",
    ],
)
def test_a_node_that_calls_more_than_an_operator_is_refused(
    tmp_path: Path, program: Path, target: str
) -> None:
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    path = changed(program, tmp_path / "evil.pt2", "models/model.json", change)
    refuse(path, UntrustedArtifact, "which is no operator of a model")


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').mkdir('CANARY')",
        "Symbol('s0').__class__",
        "[1][0]",
        "(lambda: 1)()",
        "eval('1')",
        "Symbol('a b')",
        "preview",
        "1 if 1 else 2",
        "f'{1}'",
        "(" * 5000,
        "s0" * 10_000,
        "Symbol(b'x')",
    ],
)
def test_a_size_that_is_no_expression_of_sizes_is_refused(
    tmp_path: Path, program: Path, expression: str
) -> None:
    canary = tmp_path / "canary"

    def change(document: Any) -> None:
        sizes = document["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = expression.replace("CANARY", str(canary))

    refuse(
        changed(program, tmp_path / "evil.pt2", "models/model.json", change),
        UntrustedArtifact,
        "no expression",
    )
    assert not canary.exists()


def test_sizes_that_are_expressions_pass(tmp_path: Path) -> None:
    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool1d(x.unsqueeze(1), 2).squeeze(1) * (
                x.shape[0] + 2 * x.shape[1]
            )

    n, t = torch.export.Dim("n"), torch.export.Dim("t", min=4)
    dims = ({0: n, 1: 2 * t},)
    path = save(
        torch.export.export(Halves().eval(), (torch.ones(3, 12),), dynamic_shapes=dims), tmp_path / "m.pt2"
    )
    assert runtimes.load(path).signature.inputs[0].shape == (-1, -1)


def test_a_structure_that_imports_is_refused(tmp_path: Path, program: Path) -> None:
    def change(document: Any) -> None:
        call = document["graph_module"]["module_call_graph"][0]["signature"]
        call["in_spec"] = call["in_spec"].replace(
            '"null"', '"{\\"__enum__\\": true, \\"fqn\\": \\"antigravity.x\\"}"'
        )

    path = changed(program, tmp_path / "evil.pt2", "models/model.json", change)
    refuse(path, UntrustedArtifact, "names modules to be imported")


def test_compiled_code_is_refused(tmp_path: Path, program: Path) -> None:
    path = rewritten(
        program,
        tmp_path / "evil.pt2",
        lambda members: members.update({"m/data/aotinductor/model/x.so": b"\x7fELF"}),
    )
    refuse(path, UntrustedArtifact, "compiled code")


def test_a_tensor_that_is_longer_than_its_bytes_is_refused(tmp_path: Path, program: Path) -> None:
    def change(document: Any) -> None:
        for entry in document["config"].values():
            entry["tensor_meta"]["sizes"] = [{"as_int": 10**9}, {"as_int": 10**9}][
                : len(entry["tensor_meta"]["strides"])
            ]

    path = changed(program, tmp_path / "evil.pt2", "model_weights_config.json", change)
    refuse(path, LoadError, r"declares .* elements and has \d+ bytes")
    empty = rewritten(
        path, tmp_path / "empty.pt2", lambda members: members.update({"m/data/weights/weight_0": b""})
    )
    refuse(empty, LoadError, r"declares .* elements and has 0 bytes")


def test_other_programs_than_one_are_refused(tmp_path: Path, program: Path) -> None:
    def double(members: Members) -> None:
        members["m/models/other.json"] = members["m/models/model.json"]

    refuse(rewritten(program, tmp_path / "two.pt2", double), LoadError, "expected one program named 'model'")
    both = rewritten(
        program,
        tmp_path / "both.pt2",
        lambda members: members.update({"serialized_exported_program.json": b"{}"}),
    )
    refuse(both, LoadError, "both layouts")


# Broken files -------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, program: Path, kind: str, keep: float) -> None:
    whole = program if kind == "pt2" else scripted(Mlp, tmp_path / "whole.pt")
    content = whole.read_bytes()
    path = tmp_path / f"m.{kind}"
    path.write_bytes(content[: int(len(content) * keep)])
    refuse(path, LoadError, "no known format")


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_files_with_flipped_bits_are_loaded_or_refused(tmp_path: Path, program: Path, kind: str) -> None:
    whole = program if kind == "pt2" else scripted(Mlp, tmp_path / "whole.pt")
    content = whole.read_bytes()
    path = tmp_path / f"m.{kind}"
    n_refused = 0
    for at in range(0, len(content), len(content) // 60):
        flipped = bytearray(content)
        flipped[at] ^= 0x11
        path.write_bytes(bytes(flipped))
        try:
            runtimes.load(path)
        except LoadError as error:
            n_refused += 1
            told = str(error)
            assert told.startswith(str(path)), told
            assert "\n" not in told
    assert n_refused > 5


def test_names_that_leave_the_archive_are_refused(tmp_path: Path, program: Path) -> None:
    path = rewritten(
        program, tmp_path / "evil.pt2", lambda members: members.update({"m/../../evil": b"evil"})
    )
    refuse(path, LoadError, "leaves the archive")
    assert not (tmp_path.parent / "evil").exists()


def test_a_module_of_training_says_so(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(copy.deepcopy(made(Mlp)).train()), tmp_path / "m.pt")
    refuse(tmp_path / "m.pt", LoadError, "training mode")


# A server -----------------------------------------------------------------------------------


def test_a_server_that_is_given_evil_files_serves_on(tmp_path: Path, program: Path) -> None:
    """They come into a folder that is watched: code that was not there at the start is never loaded."""
    shutil.copy(program, tmp_path / "good.pt2")
    with serving([tmp_path], "--reload", "--workers", "1") as server:
        workers = server.workers

        def add(members: Members) -> None:
            members["m/data/sample_inputs/model.pt"] = saved(Canary(tmp_path / "canary"))

        half = tmp_path / ".half"
        rewritten(program, half, add)
        half.rename(tmp_path / "evil.pt2")
        (tmp_path / "bad.onnx").write_bytes(b"\x08\x0a\x3a\xff\xff\xff\x7f")
        until(lambda: "evil.pt2" in server.log and "bad.onnx" in server.log)
        assert "name the file yourself" in server.log
        assert server.post("/models/good/predict", [[1, 2, 3, 4]]).status == 200
        assert server.workers == workers
        assert not (tmp_path / "canary").exists()
        assert [one["name"] for one in server.get("/models").json()["models"]] == ["good"]
