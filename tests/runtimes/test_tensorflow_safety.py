"""SavedModels that do more than compute, or were crafted: refused before TensorFlow reads them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tests import tensorflow_models as models
from tests.tensorflow_models import read_graph, save_function, write_graph

from demijohn import runtimes
from demijohn.errors import LoadError, UntrustedArtifact
from demijohn.runtimes.tensorflow_ops import CHECKPOINT_OPS, HARMLESS, TABLE_FROM_FILE, why_refused

TEXTS = [tf.TensorSpec([None], tf.string, name="text")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    models.save_iris(path / "iris")
    models.save_words(path / "words")
    models.save_as_version_1(path / "old")
    return path


@pytest.fixture
def iris(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "iris", tmp_path / "iris"))


@pytest.fixture
def words(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "words", tmp_path / "words"))


@pytest.fixture
def old(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "old", tmp_path / "old"))


# Operations that do more than compute ----------------------------------------------------------


@tf.function(input_signature=TEXTS)
def reads(text: Any) -> Any:
    return tf.strings.join([text, tf.io.read_file("/etc/hostname")])


@tf.function(input_signature=TEXTS)
def writes(text: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("/tmp/demijohn-canary", text[0])]):
        return tf.identity(text)


@tf.function(input_signature=TEXTS)
def lists(text: Any) -> Any:
    return tf.strings.join([text, tf.io.matching_files("/etc/*")[:1]])


@tf.function(input_signature=TEXTS)
def prints(text: Any) -> Any:
    tf.print(text, output_stream="file:///tmp/demijohn-canary")
    return text


@tf.function(input_signature=TEXTS)
def reads_a_data_set(text: Any) -> Any:
    lines = tf.data.TextLineDataset("/etc/hostname")
    return tf.strings.join([text, lines.reduce("", lambda _, line: line)])


@tf.function(input_signature=TEXTS)
def reads_a_checkpoint(text: Any) -> Any:
    restored = tf.raw_ops.RestoreV2(
        prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string]
    )
    return tf.strings.join([text, restored[0]])


@tf.function(input_signature=TEXTS)
def maps_a_file(text: Any) -> Any:
    mapped = tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[1], memory_region_name="/etc/hostname")
    return tf.strings.join([text, tf.strings.as_string(mapped)])


@tf.function(input_signature=TEXTS)
def hides_in_a_branch(text: Any) -> Any:
    return tf.cond(
        tf.size(text) > 10**6, lambda: tf.strings.join([text, tf.io.read_file("/x")]), lambda: text
    )


@pytest.mark.parametrize(
    ("function", "op", "why"),
    [
        (reads, "ReadFile", "reads files"),
        (writes, "WriteFile", "writes files"),
        (lists, "MatchingFiles", "reads files"),
        (prints, "PrintV2", "writes files"),
        (reads_a_data_set, "TextLineDataset", "reads a data set"),
        (reads_a_checkpoint, "RestoreV2", "reads files"),
        (maps_a_file, "ImmutableConst", "reads files"),
        (hides_in_a_branch, "ReadFile", "reads files"),
    ],
)
def test_a_graph_that_touches_files_is_refused(tmp_path: Path, function: Any, op: str, why: str) -> None:
    folder = save_function(function, tmp_path / "model")
    with pytest.raises(
        UntrustedArtifact, match=rf"model: its graph does more than compute: .*{op} .*{why}"
    ) as error:
        runtimes.load(folder)
    assert function.__name__ in error.value.detail or "cond" in error.value.detail  # the function is told
    assert "--trust" in error.value.detail
    assert not runtimes.inspect(folder).runs_code


def test_python_inside_a_graph_is_refused(tmp_path: Path) -> None:
    @tf.function(input_signature=TEXTS)
    def calls_python(text: Any) -> Any:
        found = tf.py_function(lambda given: given, [text], tf.string)
        return tf.ensure_shape(found, [None])

    folder = save_function(calls_python, tmp_path / "model")
    with pytest.raises(UntrustedArtifact, match=r"EagerPyFunc .*runs Python"):
        runtimes.load(folder)


def test_whoever_trusts_a_graph_may_run_it(tmp_path: Path) -> None:
    runtime = runtimes.load(save_function(reads, tmp_path / "model"), is_trusted=True)
    tensors = {"text": runtime.signature.validate(runtimes_rows(["x"]))["text"]}
    assert runtime.run("predict", tensors, {})["predict"].tolist() == [
        "x" + Path("/etc/hostname").read_text()
    ]


def runtimes_rows(rows: list[Any]) -> Any:
    from demijohn.messages import Rows

    return Rows(rows)


def rename_op(folder: Path, old: str, new: str) -> Path:
    document = read_graph(folder)
    for function in document.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == old:
                node.op = new
    return write_graph(folder, document)


@pytest.mark.parametrize(
    ("op", "why"),
    [
        ("AcmeDetector", "is not an operation of TensorFlow's that is known"),
        ("RpcCall", "reaches other processes"),
        ("CollectiveGather", "reaches other processes"),
        ("DebugIdentityV3", "sends what it sees"),
        ("Abort", "ends the process"),
        ("XlaCallModule", "cannot be looked into"),
        ("FIFOQueueV2", "waits for others"),
        ("DecodeProtoV2", "reads files"),
        ("", "is not an operation"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_refused(iris: Path, op: str, why: str) -> None:
    with pytest.raises(UntrustedArtifact, match=why):
        runtimes.load(rename_op(iris, "Softmax", op))


def test_a_custom_operation_that_is_trusted_is_still_missing(iris: Path) -> None:
    rename_op(iris, "Softmax", "AcmeDetector")
    with pytest.raises(LoadError, match=r"iris cannot be loaded: .*AcmeDetector"):
        runtimes.load(iris, is_trusted=True)


def test_an_operation_told_twice_is_judged_twice(iris: Path) -> None:
    # Protobuf takes the last one; a reader that took the first would see a Softmax.
    path = iris / "saved_model.pb"
    content = path.read_bytes()
    name = b"\x12\x07Softmax"  # NodeDef.op
    assert content.count(name) == 1
    path.write_bytes(content.replace(name, b"\x12\x07ReadFil"))  # as long, so that no length changes
    with pytest.raises(UntrustedArtifact, match="ReadFil "):
        runtimes.load(iris)


# A saver's own operations ----------------------------------------------------------------------


def test_a_savers_functions_may_not_be_what_serving_runs(iris: Path) -> None:
    document = read_graph(iris)
    library = document.meta_graphs[0].graph_def.library.function
    saver = next(one.signature.name for one in library if "_traced_save" in one.signature.name)
    for function in library:
        for node in function.node_def:
            if node.op == "StatefulPartitionedCall" and "scores" in node.attr["f"].func.name:
                node.attr["f"].func.name = saver
    with pytest.raises(UntrustedArtifact, match=r"SaveV2 .*_traced_save.*writes files"):
        runtimes.load(write_graph(iris, document))


def test_a_savers_function_may_not_stand_in_for_others(iris: Path) -> None:
    document = read_graph(iris)
    for function in document.meta_graphs[0].graph_def.library.function:
        if "_traced_save" in function.signature.name:
            function.attr["api_implements"].s = b"something"
    with pytest.raises(UntrustedArtifact, match="SaveV2"):
        runtimes.load(write_graph(iris, document))


def test_a_graph_of_tensorflow_1_runs_no_saver(old: Path) -> None:
    document = read_graph(old)
    graph = document.meta_graphs[0]
    save = next(node.name for node in graph.graph_def.node if node.op == "SaveV2")
    output = graph.signature_def["serving_default"].outputs["y"].name.partition(":")[0]
    next(node for node in graph.graph_def.node if node.name == output).input.append(f"^{save}")
    with pytest.raises(UntrustedArtifact, match=r"SaveV2 \(in the graph itself\) writes files"):
        runtimes.load(write_graph(old, document))


def test_a_graph_of_tensorflow_1_restores_its_own_checkpoint_only(old: Path) -> None:
    document = read_graph(old)
    graph = document.meta_graphs[0].graph_def
    elsewhere = graph.node.add(name="elsewhere", op="Const")
    elsewhere.attr["dtype"].type = tf.string.as_datatype_enum
    elsewhere.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/somewhere/else"))
    for node in graph.node:
        if node.op == "RestoreV2":
            node.input[0] = "elsewhere"
    with pytest.raises(UntrustedArtifact, match="RestoreV2"):
        runtimes.load(write_graph(old, document))


# Tables and assets -----------------------------------------------------------------------------


def test_a_table_is_filled_from_the_models_own_asset_only(words: Path) -> None:
    document = read_graph(words)
    graph = document.meta_graphs[0]
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            if node.op == "InitializeTableFromTextFileV2":
                constant = function.node_def.add(name="path", op="Const")
                constant.attr["dtype"].type = tf.string.as_datatype_enum
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
                node.input[1] = "path:output:0"
    with pytest.raises(UntrustedArtifact, match=r"InitializeTableFromTextFileV2 .*no asset of the model"):
        runtimes.load(write_graph(words, document))


def asset_node(document: Any) -> Any:
    return next(node for node in document.meta_graphs[0].object_graph_def.nodes if node.HasField("asset"))


def test_a_constant_in_an_assets_place_is_no_asset(words: Path) -> None:
    document = read_graph(words)
    asset_node(document).constant.operation = "Const"
    with pytest.raises(UntrustedArtifact, match="no asset of the model"):
        runtimes.load(write_graph(words, document))


def test_a_table_whose_argument_anybody_may_choose_is_refused(words: Path) -> None:
    document = read_graph(words)
    library = document.meta_graphs[0].graph_def.library.function
    fills = next(
        one.signature.name
        for one in library
        if any(node.op == "InitializeTableFromTextFileV2" for node in one.node_def)
    )
    caller = next(one for one in library if "find" in one.signature.name)
    caller.node_def.add(name="again", op="StatefulPartitionedCall").attr["f"].func.name = fills
    with pytest.raises(UntrustedArtifact, match="no asset of the model"):
        runtimes.load(write_graph(words, document))


def test_a_graph_of_tensorflow_1_fills_tables_from_assets_only(old: Path) -> None:
    document = read_graph(old)
    for node in document.meta_graphs[0].graph_def.node:
        if node.op == "InitializeTableFromTextFileV2":
            node.input[1] = "somewhere"
    with pytest.raises(UntrustedArtifact, match="no asset of the model"):
        runtimes.load(write_graph(old, document))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../../../etc/passwd", "..", "..\\passwd", "a\0b", ""]
)
@pytest.mark.parametrize("is_trusted", [True, False])
def test_an_asset_outside_the_folder_is_refused_whatever_is_trusted(
    words: Path, name: str, is_trusted: bool
) -> None:
    document = read_graph(words)
    document.meta_graphs[0].asset_file_def[0].filename = name
    with pytest.raises(LoadError, match="is not inside the model's folder"):
        runtimes.load(write_graph(words, document), is_trusted=is_trusted)


def test_an_asset_outside_the_folder_is_refused_in_tensorflow_1_too(old: Path) -> None:
    from tensorflow.core.protobuf import meta_graph_pb2

    document = read_graph(old)
    (kept,) = document.meta_graphs[0].collection_def["saved_model_assets"].any_list.value
    asset = meta_graph_pb2.AssetFileDef()
    kept.Unpack(asset)
    asset.filename = "../../etc/passwd"
    kept.Pack(asset)
    with pytest.raises(LoadError, match="is not inside the model's folder"):
        runtimes.load(write_graph(old, document))


def test_a_missing_asset_is_told(words: Path) -> None:
    shutil.rmtree(words / "assets")
    with pytest.raises(LoadError, match=r"words: its asset 'vocabulary\.txt' is missing"):
        runtimes.load(words)


# Broken folders --------------------------------------------------------------------------------


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


def break_variables(folder: Path) -> None:
    cut(folder / "variables" / "variables.data-00000-of-00001", 3)


def swap_shapes(folder: Path) -> None:
    document = read_graph(folder)
    for node in document.meta_graphs[0].object_graph_def.nodes:
        if node.HasField("variable"):
            for dim in node.variable.shape.dim:
                dim.size += 1
    write_graph(folder, document)


def claim_a_huge_variable(folder: Path) -> None:
    document = read_graph(folder)
    for node in document.meta_graphs[0].object_graph_def.nodes:
        if node.HasField("variable"):
            node.variable.shape.dim[0].size = 10**18
    write_graph(folder, document)


def claim_a_huge_constant(folder: Path) -> None:
    document = read_graph(folder)
    node = document.meta_graphs[0].graph_def.node.add(name="huge", op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.tensor_shape.dim.add(size=10**12)
    node.attr["value"].tensor.float_val.append(0.0)
    write_graph(folder, document)


def lose_a_function(folder: Path) -> None:
    document = read_graph(folder)
    del document.meta_graphs[0].graph_def.library.function[:]
    write_graph(folder, document)


def lose_the_objects(folder: Path) -> None:
    document = read_graph(folder)
    del document.meta_graphs[0].object_graph_def.nodes[1:]
    write_graph(folder, document)


def add_a_graph(folder: Path) -> None:
    document = read_graph(folder)
    document.meta_graphs.add().CopyFrom(document.meta_graphs[0])
    write_graph(folder, document)


def lose_the_graph(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"\x08\x01")


BREAKS: dict[str, Callable[[Path], None]] = {
    "cut off": lambda folder: cut(folder / "saved_model.pb", 500),
    "empty": lambda folder: cut(folder / "saved_model.pb", 0),
    "no protobuf": lambda folder: (folder / "saved_model.pb").write_text("hello"),  # type: ignore[func-returns-value]
    "no variables": lambda folder: shutil.rmtree(folder / "variables"),
    "half the variables": break_variables,
    "half an index": lambda folder: cut(folder / "variables" / "variables.index", 100),
    "other shapes": swap_shapes,
    "a huge variable": claim_a_huge_variable,
    "a huge constant": claim_a_huge_constant,
    "no functions": lose_a_function,
    "no objects": lose_the_objects,
    "two graphs": add_a_graph,
    "no graph": lose_the_graph,
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_folder_is_one_clear_error(iris: Path, broken: str) -> None:
    BREAKS[broken](iris)
    with pytest.raises(LoadError) as error:
        runtimes.load(iris)
    assert error.value.detail.startswith(str(iris))
    assert "\n" not in error.value.detail
    assert "demijohn-" not in error.value.detail  # our own copy's path


def test_files_that_are_not_the_models_are_not_given_to_tensorflow(iris: Path) -> None:
    """Of two graphs TensorFlow would choose; it gets the one that was judged."""
    (iris / "saved_model.pbtxt").write_text("not this one")
    (iris / "saved_model.cpb").write_bytes(b"nor this")
    (iris / "assets.extra").mkdir()
    (iris / "assets.extra" / "notes").write_text("hello")
    assert runtimes.load(iris).methods == ("predict", "both")


TOUCHY = """
ReadFile WriteFile MatchingFiles PyFunc PyFuncStateless EagerPyFunc DebugIdentity DebugIdentityV2
TFRecordReaderV2
TextLineReaderV2 WholeFileReaderV2 TFRecordDataset FixedLengthRecordDatasetV2 SqlDataset Save SaveV2 Restore
RestoreV2 WriteSummary CreateSummaryFileWriter CreateSummaryDbWriter RemoteCall RpcClient RecordInput
ImmutableConst LoadAndRemapMatrix GenerateVocabRemapping Skipgram DecodeProtoV2 FixedUnigramCandidateSampler
XlaHostCompute CollectiveGatherV2 _Send _Recv Abort
"""


# The list --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registered() -> Iterator[set[str]]:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    known = op_def_pb2.OpList()
    known.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {one.name for one in known.op}


def test_every_operation_of_the_list_is_tensorflows(registered: set[str]) -> None:
    assert registered >= HARMLESS


def test_what_the_list_leaves_out_has_a_reason(registered: set[str]) -> None:
    conditional = CHECKPOINT_OPS | TABLE_FROM_FILE | {"PrintV2"}
    assert not HARMLESS & conditional
    named = set(TOUCHY.split())
    assert not named & HARMLESS
    unknown = why_refused("AcmeDetector")
    assert all(why_refused(op) != unknown for op in named)


def test_a_hostile_folder_is_refused_before_tensorflow_is_imported(tmp_path: Path) -> None:
    folder = save_function(reads, tmp_path / "model")
    script = f"""
        import sys
        from demijohn import errors, runtimes
        try:
            runtimes.load({str(folder)!r})
        except errors.UntrustedArtifact:
            assert "tensorflow" not in sys.modules
            print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    assert done.stdout == "refused\n"
