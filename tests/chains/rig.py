"""Chains of two models and more, for the tests of this folder."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from demijohn.chains import ChainPredictor, Word
from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.messages import InferenceRequest, Records, Rows
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
SCALER = StandardScaler().fit(X)
FOREST = RandomForestClassifier(5, random_state=0).fit(SCALER.transform(X), Y)


def chain(*members: Any, batching: bool | None = None, deadline_s: float = 30.0, **options: Any) -> Any:
    """Make a chain of models; one may be a model and its method, or a predictor."""
    lifecycle = Lifecycle()
    given = Settings(deadline_s=deadline_s)
    predictors, words = {}, []
    for index, member in enumerate(members):
        model, method = member if isinstance(member, tuple) else (member, None)
        name = f"m{index}"
        if not isinstance(model, Predictor):
            model = Predictor(name, "1", wrap(model, **options), given, lifecycle)
        predictors[name] = model
        words.append(Word(name, method))
    return ChainPredictor("c", "1", words, predictors.get, given, lifecycle, batching=batching)


def members(chain: ChainPredictor) -> list[Predictor]:
    return [predictor for _, predictor in chain._steps]


def ask(
    chain: Predictor, rows: Any, method: str = "predict", within_s: float = 30.0, **parameters: Any
) -> Any:
    inputs = Records(rows) if isinstance(rows[0], dict) else Rows(np.asarray(rows).tolist())
    return chain.predict(method, InferenceRequest(inputs, parameters), time.monotonic() + within_s)


def settled(chain: ChainPredictor) -> ChainPredictor:
    for predictor in members(chain):
        predictor.settle()
    chain.settle()
    return chain
