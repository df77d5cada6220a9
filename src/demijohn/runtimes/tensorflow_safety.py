"""Judging a SavedModel before TensorFlow reads it: its operations, its assets, its sizes.

Rules of this room:
1. A graph is a program. Without the operator's trust it holds harmless operations only, wherever they
   stand, and whether or not anything calls them.
2. What a saver's own functions do (write and read checkpoints) is let be where serving never runs it.
3. A table is filled from a file only if that is an asset of this very model.
4. Names of assets stay inside the folder, and sizes within reason, whatever the operator trusts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from demijohn.errors import LoadError, UntrustedArtifact

from .folders import FolderContent
from .tensorflow_graph import GRAPH, Function, MetaGraph, Node, node_of
from .tensorflow_ops import CHECKPOINT_OPS, HARMLESS, PRINT, TABLE_FROM_FILE, why_refused

_MOST_ELEMENTS = 2**28  # a tensor in a graph; past it, one number stands for all of them
_MOST_TOLD = 10
_LONGEST_NAME = 100
_REPLACES = "api_implements"  # TensorFlow may run such a function in another's place

Finding = tuple[str, str, str]  #: An operation, the function it stands in, what is wrong with it.


def check_graphs(graphs: Sequence[MetaGraph], files: FolderContent, *, is_trusted: bool) -> None:
    """Refuse a SavedModel that could do more than compute.

    Args:
        graphs: Of its saved_model.pb.
        files: All files of its folder.
        is_trusted: The operator lets its graph do whatever it does.

    Raises:
        UntrustedArtifact: operations that touch files or the network, run code, or are not known.
        LoadError: it was crafted: assets outside the folder, tensors of absurd sizes.
    """
    for graph in graphs:
        _check_assets(graph.assets, files)
        _check_sizes(graph.functions)
    if is_trusted:
        return
    found = list(dict.fromkeys(finding for graph in graphs for finding in _judge(graph)))
    if found:
        told = "; ".join(f"{_short(op)} {_place(name)} {why}" for op, name, why in found[:_MOST_TOLD])
        more = f"; and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        raise UntrustedArtifact(
            f"its graph does more than compute: {told}{more}. If you trust its author, say --trust"
        )


def _short(name: str) -> str:
    text = "".join(char if char.isprintable() else "�" for char in name)
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"


def _place(function: str) -> str:
    return "(in the graph itself)" if function == GRAPH else f"(in {_short(function)})"


def _check_assets(assets: Iterable[str], files: FolderContent) -> None:
    for name in assets:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name or "\0" in name:
            raise LoadError(f"its asset {_short(name)!r} is not inside the model's folder")
        if f"assets/{PurePosixPath(name)}" not in files:
            raise LoadError(f"its asset {_short(name)!r} is missing")


def _check_sizes(functions: Iterable[Function]) -> None:
    for function in functions:
        for node in function.nodes:
            if node.n_elements > _MOST_ELEMENTS:
                raise LoadError(
                    f"its operation {_short(node.name)} {_place(function.name)} holds a tensor of"
                    f" {node.n_elements} elements; at most {_MOST_ELEMENTS} are taken"
                )


# Operations ----------------------------------------------------------------------------------


def _judge(graph: MetaGraph) -> Iterator[Finding]:
    run = _Run(graph)
    for function in graph.functions:
        for node in function.nodes:
            for op in node.ops or [""]:
                why = run.why_not(function, node, op)
                if why is not None:
                    yield op, function.name, why


class _Run:
    """What serving runs of a graph, and what may stand there."""

    def __init__(self, graph: MetaGraph) -> None:
        self._graph = graph
        self._functions: dict[str, list[Function]] = {}
        for function in graph.functions:
            self._functions.setdefault(function.name, []).append(function)
        self._called = {name for one in graph.functions if one.name != GRAPH for name in _calls(one.nodes)}
        self._nodes = self._ancestors(graph.fetches) if not graph.has_objects else frozenset()
        self._filling = self._ancestors(graph.restores) if not graph.has_objects else frozenset()
        self._live = self._reach(graph.bound) if graph.has_objects else self._reach(self._called_in_graph())

    def why_not(self, function: Function, node: Node, op: str) -> str | None:
        """Say why an operation may not stand where it does; None if it may."""
        if op in HARMLESS:
            return None
        if op == PRINT:
            is_file = any(text.lower().startswith(b"file") for text in node.texts)
            return "writes files" if is_file else None
        if op in TABLE_FROM_FILE:
            is_asset = self._fills_from_asset(function, node)
            return None if is_asset else "reads a file that is no asset of the model"
        if op in CHECKPOINT_OPS and self._is_savers(function, node, op):
            return None
        return why_refused(op)

    def _is_savers(self, function: Function, node: Node, op: str) -> bool:
        """Say whether an operation is a saver's, which writes and reads checkpoints."""
        if function.name != GRAPH:
            return function.name not in self._live and _REPLACES not in function.attributes
        if self._graph.has_objects:
            return True  # such a model runs functions only
        if node.name in self._filling:
            return op == "RestoreV2" and node.name not in self._nodes and self._reads_own(node)
        return node.name not in self._nodes

    def _reads_own(self, node: Node) -> bool:
        """Say whether a node reads the checkpoint that the loader names."""
        return bool(node.inputs) and node_of(node.inputs[0]) in self._graph.checkpoints

    def _fills_from_asset(self, function: Function, node: Node) -> bool:
        path = node_of(node.inputs[1]) if len(node.inputs) > 1 else ""
        if function.name == GRAPH:
            return self._graph.has_objects or path in self._graph.assets.values()
        bound = self._graph.bound.get(function.name, [])
        is_alone = len(self._functions[function.name]) == len(bound) == 1
        if not is_alone or function.name in self._called:
            return False  # its argument may be anything
        objects = dict(zip(reversed(function.arguments), reversed(bound[0]), strict=False))
        return objects.get(path) in self._graph.asset_objects

    def _ancestors(self, names: Iterable[str]) -> frozenset[str]:
        """Return the nodes of the graph itself that run when these do."""
        nodes = [node for one in self._functions[GRAPH] for node in one.nodes]
        return _closure(names, ((node.name, map(node_of, node.inputs)) for node in nodes))

    def _called_in_graph(self) -> set[str]:
        run = self._nodes | self._filling
        return _calls(node for one in self._functions[GRAPH] for node in one.nodes if node.name in run)

    def _reach(self, names: Iterable[str]) -> frozenset[str]:
        """Return the functions that run when these do."""
        return _closure(names, ((one.name, _calls(one.nodes)) for one in self._graph.functions))


def _calls(nodes: Iterable[Node]) -> set[str]:
    return {name for node in nodes for name in node.calls}


def _closure(names: Iterable[str], following: Iterable[tuple[str, Iterable[str]]]) -> frozenset[str]:
    followers: dict[str, list[str]] = {}  # of one name there may be several in a file that was made by hand
    for name, others in following:
        followers.setdefault(name, []).extend(others)
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += followers.get(name, ())
    return frozenset(seen)
