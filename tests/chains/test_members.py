"""What a chain may be made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.web.rig import Gallery

from demijohn.chains import ChainRuntime, Word, members_of, parse_word
from demijohn.chains.members import Member
from demijohn.errors import ConfigurationError
from demijohn.messages import Rows
from demijohn.runtimes import wrap

X = np.random.default_rng(0).normal(size=(30, 3))
LABELS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


async def shout(text: str) -> str:
    return text.upper()


def length(text: str) -> int:
    return len(text)


MODELS = {
    "scale": StandardScaler().fit(X),
    "group": KMeans(2, n_init=1, random_state=0).fit(X),
    "label": LogisticRegression().fit(X, LABELS),
    "line": LinearRegression().fit(X, X[:, 0]),
    "line.2": LinearRegression().fit(X, X[:, 1]),
    "shout": shout,
    "length": length,
}
RUNTIMES = {name: ("1", wrap(model)) for name, model in MODELS.items()}


def chain(*words: Any) -> ChainRuntime:
    parsed = [parse_word(word, RUNTIMES) for word in words]
    return ChainRuntime("c", members_of("c", parsed, RUNTIMES.get))


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("scale", ("scale", None)),
        ("scale.transform", ("scale", "transform")),
        (("scale", "transform"), ("scale", "transform")),
        (["line.2", "predict"], ("line.2", "predict")),
        ("line.2", ("line.2", None)),
        ("line.2.predict", ("line.2", "predict")),
        ("nobody.predict", ("nobody.predict", None)),
    ],
)
def test_a_member_is_a_name_or_a_name_and_a_method(word: Any, meant: tuple[str, str | None]) -> None:
    assert parse_word(word, RUNTIMES) == meant


@pytest.mark.parametrize("word", [("scale",), ("a", "b", "c"), ("scale", 1)])
def test_anything_else_is_no_member(word: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no member of a chain"):
        parse_word(word, RUNTIMES)


def test_a_chain_takes_what_its_first_takes_and_has_the_methods_of_its_last() -> None:
    runtime = chain("scale", "label")
    assert [(m.name, m.version, m.method) for m in runtime.members] == [
        ("scale", "1", "transform"),
        ("label", "1", None),
    ]
    label = RUNTIMES["label"][1]
    assert runtime.methods == label.methods
    assert runtime.classes("predict_proba") == ["no", "yes"]
    assert runtime.signature.inputs == RUNTIMES["scale"][1].signature.inputs
    assert runtime.signature.outputs == label.signature.outputs
    assert runtime.example_rows() == RUNTIMES["scale"][1].example_rows()
    assert runtime.framework == "chain"
    assert runtime.digest() is None
    assert runtime.promises("predict") == label.signature.outputs["predict"]
    assert runtime.streams == ()


def test_the_method_of_a_member_may_be_named() -> None:
    widths = {**RUNTIMES, "two": ("1", wrap(LinearRegression().fit(X[:, :2], X[:, 0])))}
    for word, method in ((Word("scale"), "transform"), (Word("group", "transform"), "transform")):
        last = Word("two" if word.method else "line")
        assert members_of("c", [word, last], widths.get)[0].method == method
    assert members_of("c", [Word("group"), Word("length")], widths.get)[0].method == "predict"
    assert chain("scale", "label.predict_proba").methods == ("predict_proba",)


def test_a_chain_runs_as_many_calls_as_its_members_may_together() -> None:
    assert chain("scale", "label").concurrency == 1
    assert chain("shout", "length").concurrency == 64


def test_a_chain_runs_its_members_frameworks_one_after_another() -> None:
    scaled = MODELS["scale"].transform(X)
    runtime = chain("scale", "label")
    outputs = runtime.run("predict_proba", {"inputs": X}, {})
    assert np.array_equal(outputs["predict_proba"], MODELS["label"].predict_proba(scaled))
    assert runtime.parameters("predict") == ()


def test_a_member_that_streams_is_streamed_from() -> None:
    def letters(text: str) -> Any:
        yield from text

    models = {**RUNTIMES, "letters": ("1", wrap(letters))}
    words = [Word("shout"), Word("letters")]
    runtime = ChainRuntime("c", members_of("c", words, models.get))
    assert runtime.streams == ("predict",)
    assert list(runtime.stream("predict", {"text": np.array(["ab"], dtype=object)}, {})) == ["A", "B"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "chain 'c' has 0 members; it takes 2 or more"),
        (["scale"], "has 1 members"),
        (["scale", "nobody"], "there is no model 'nobody'"),
        (["scale.predict", "line"], "model 'scale' has no method 'predict'; it has: transform"),
        (["line", "label"], r"what 'line' returns does not fit 'label': .* has the shape \(\), .* \(3,\)"),
        (["group.transform", "line"], r"what 'group' returns does not fit 'line': .* \(2,\), .* \(3,\)"),
        (["label", "line"], r"what 'label' returns does not fit 'line'"),
        (["length", "shout"], "'predict' is int64, and input 'text' takes str"),
        (["shout", "line"], "'predict' is str, and input 'inputs' takes float64"),
    ],
)
def test_what_does_not_fit_is_refused_when_a_chain_is_made(words: list[str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        chain(*words)


def test_a_member_takes_what_its_method_takes() -> None:
    lengths = wrap(LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0]))
    chain = ChainRuntime(
        "both", [Member("gallery", "1", Gallery(), "find"), Member("double", "1", lengths, None)]
    )
    assert chain.signature.inputs == Gallery.signature.others["find"].inputs
    assert chain.signature.others == {}
    assert list(chain.example_rows()) == ["a rose", "a lily"]
    (answer,) = chain.run("predict", chain.signature.validate(Rows(["a rose"])), {}).values()
    assert answer.round(6).tolist() == [12.0]


def test_a_method_that_takes_something_else_is_no_method_of_a_chain() -> None:
    def album(title: str) -> dict[str, Any]:
        return {"image": np.ones((2, 3), np.uint8), "age": float(len(title))}

    chain = ChainRuntime(
        "both", [Member("album", "1", wrap(album), "predict"), Member("gallery", "1", Gallery(), None)]
    )
    assert chain.methods == ("predict",)
