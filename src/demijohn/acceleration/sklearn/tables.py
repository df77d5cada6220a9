"""Which translation belongs to which estimator, and making one of an estimator.

Rules of this room:
1. Estimators are told by the names in their MRO, so that nothing of scikit-learn is imported for it.
2. Only scikit-learn's own classes are translated. A subclass from elsewhere is, if it changes nothing.
3. A step does not check its input for NaN and infinity; ``make_checked_step`` makes one that does, as
   the estimator would. Trees always check their rows.
"""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from demijohn.acceleration.engine import Backend, Part, Step, Unconvertible
from demijohn.messages import Array

from .building import Building, texts_of
from .finite import check_finite, check_no_infinity
from .parts import MAYBE_TREES

#: Makes the step of one fitted estimator's method; raises ``Unconvertible``. What it finds inside the
#: estimator it makes with ``make_step`` or ``make_checked_step`` and the backend that it got.
Factory = Callable[[Any, str, Backend], Step]

#: Rooms of this package that translate estimators. Each has ``FINALS``, ``TRANSFORMS`` or both: tables
#: from the name of a class to its factory. A factory is told the method, so one name stands once.
ROOMS = (
    "preprocessing", "encoders", "imputers", "splines", "decompositions", "columns", "wrappers", "multiples",
    "ensembles",
    "bayes", "clusters", "covariances", "discriminants", "isotonic", "kernels_and_svm", "linear",
    "linear_classifiers", "mixtures", "neighbors", "neural",
)  # fmt: skip

#: Rooms for what has other estimators in it.
_CONTAINER_ROOMS = ("columns", "wrappers", "multiples", "ensembles")

#: Why no translation is even tried, by a name in the MRO, unless it is one of ours.
HOPELESS = {
    "KNeighborsMixin": "k-nearest neighbours: no other form of it is faster",
    "RadiusNeighborsMixin": "radius neighbours: no form of it is faster",
    "_VectorizerMixin": "texts are read by scikit-learn itself",
}

#: Those that may get columns of texts; every other estimator looks at numbers.
_READS_TEXTS = frozenset({
    "Pipeline", "ColumnTransformer", "FeatureUnion", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder",
    "SimpleImputer", "MissingIndicator", "BaseSearchCV", "TransformedTargetRegressor", "FrozenEstimator",
    "BaseThresholdClassifier", "CalibratedClassifierCV", "_BaseVoting", "_BaseStacking",
    "OneVsRestClassifier", "_MultiOutputEstimator", "SelfTrainingClassifier",
    "DummyClassifier", "DummyRegressor", "BaseHistGradientBoosting",
})  # fmt: skip

#: Those that hand their rows on, to be checked by who gets them.
_CHECKS_INSIDE = frozenset({
    "Pipeline", "ColumnTransformer", "FeatureUnion", "BaseSearchCV", "TransformedTargetRegressor",
    "FrozenEstimator", "BaseThresholdClassifier", "CalibratedClassifierCV", "SelfTrainingClassifier",
    "BaseBagging",
})  # fmt: skip

#: Rooms whose steps look at what they make, where that costs less than to look at the rows.
_SELF_CHECKING_ROOMS = (
    "linear", "linear_classifiers", "bayes", "neural", "discriminants", "clusters", "mixtures",
    "covariances", "isotonic", "kernels_and_svm", "neighbors",
)  # fmt: skip

_MOST_CONVERTED = 16  #: Each is a session of its own, which takes time to make and to call.

#: What scikit-learn itself writes on every subclass, and what changes nothing.
_HARMLESS = ("__", "_sklearn_", "set_", "_abc_", "_get_doc_link", "_doc_link")


@functools.cache
def factories() -> Mapping[str, Factory]:
    """Return the factory of every class that is translated, by the class's name.

    The rooms are imported now, not before: they import this one.
    """
    merged: dict[str, Factory] = {}
    for room in ROOMS:
        module = importlib.import_module(f".{room}", __package__)
        for table in (getattr(module, "TRANSFORMS", {}), getattr(module, "FINALS", {})):
            merged.update(table)
    return merged


def make_step(estimator: Any, method: str, backend: Backend) -> Step:
    """Translate one method of a fitted estimator.

    Args:
        estimator: Fitted; it is not kept, but arrays of it may be.
        method: ``predict``, ``transform``, ...
        backend: What tree ensembles and others run on.

    Raises:
        Unconvertible: with the reason for the operator.
    """
    names = _class_names(estimator, method)
    if texts_of(backend) and not _READS_TEXTS.intersection(names):
        raise Unconvertible(f"{names[0]} gets columns of texts")
    why = next((HOPELESS[name] for name in names if name in HOPELESS), None)
    is_ours = backend.others is None and not factories().keys().isdisjoint(names)
    is_unchecked = backend.others is not None and not Building.of(backend).prefers_others
    if why is not None and not is_ours and not is_unchecked:
        raise Unconvertible(why)
    try:
        # Where ours steps aside too often, it is the framework's own that is left.
        make = convert if why is not None and is_unchecked else partial(_make, names)
        return make(estimator, method, backend)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        # Attributes differ between releases of scikit-learn; what is not as it is known, is not known.
        raise Unconvertible(
            f"{names[0]} is not as it is known here ({type(error).__name__}: {error})"
        ) from error


def make_checked_step(estimator: Any, method: str, backend: Backend) -> Step:
    """Translate one method, with the estimator's own refusal of NaN and infinity before it.

    Whoever made the rows is no longer the client, who was checked: a step before may have overflown.

    Raises:
        Unconvertible: with the reason for the operator.
    """
    building = Building.of(backend)
    n_parts = len(building.parts)
    step = make_step(estimator, method, building)
    is_ensemble = len(building.parts) > n_parts and _is_ensemble(estimator)
    if is_ensemble or _checks_itself(_class_names(estimator, method)):
        return step
    check = check_no_infinity if allows_missing(estimator) else check_finite

    def checked(rows: Array) -> Array:
        check(rows)
        return step(rows)

    return checked


def _checks_itself(names: tuple[str, ...]) -> bool:
    if not _CHECKS_INSIDE.isdisjoint(names):
        return True
    name = next((name for name in names if name in factories()), None)
    return name in _self_checking()


@functools.cache
def _self_checking() -> frozenset[str]:
    """Return the classes whose translation steps aside by itself for what is not finite."""
    rooms = [importlib.import_module(f".{room}", __package__) for room in _SELF_CHECKING_ROOMS]
    return frozenset(name for room in rooms for name in room.FINALS)


def allows_missing(estimator: Any) -> bool:
    """Say whether an estimator takes missing values."""
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(estimator).input_tags.allow_nan)
    except (AttributeError, TypeError, ValueError):
        # One inside does not say, since it is not of scikit-learn's family; then it is asked itself.
        return False


def convert(estimator: Any, method: str, backend: Backend) -> Step:
    """Make the step of an estimator by the backend's ``others``.

    Raises:
        Unconvertible: the backend has none, or it cannot.
    """
    if backend.others is None or texts_of(backend):
        raise Unconvertible(f"no translation of {type(estimator).__name__}")
    building = Building.of(backend)
    if len(building.converted) >= _MOST_CONVERTED:
        raise Unconvertible(f"more than {_MOST_CONVERTED} estimators to convert")
    step = backend.others(estimator, method, int(estimator.n_features_in_))
    building.converted.append(estimator)
    return step


def _trees(estimator: Any, method: str, backend: Backend) -> Step | None:
    """Make the step of a tree ensemble; None where the estimator is, or may be, something else."""
    from demijohn.acceleration.trees import sklearn_trees

    if not sklearn_trees.is_tree_ensemble(estimator):
        return None
    may_be_other = type(estimator).__name__.startswith(MAYBE_TREES)
    if backend.trees is None:
        if may_be_other or backend.others is not None:
            return None
        raise Unconvertible(f"{type(estimator).__name__} is made of trees, which numpy is slow at")
    head = _encoding(estimator, backend)
    try:
        read = partial(sklearn_trees.read, estimator, method, is_encoded=head is not None)
        ensemble = read()
    except Unconvertible:
        if may_be_other:
            return None
        raise
    step = backend.trees(ensemble)
    behind = estimator if head is None else _without_encoding(estimator)
    Building.of(backend).parts.append(Part(behind, method, step, read))
    return step if head is None else lambda rows: step(head(rows))


def _is_ensemble(estimator: Any) -> bool:
    from demijohn.acceleration.trees import sklearn_trees

    return sklearn_trees.is_tree_ensemble(estimator)


def _without_encoding(estimator: Any) -> Any:
    """Return a booster that takes what its encoder makes: what its ensemble is to be compared with."""
    twin = copy.copy(estimator)
    twin._preprocessor = None
    vars(twin).pop("feature_names_in_", None)
    return twin


def _encoding(estimator: Any, backend: Backend) -> Step | None:
    """Return what encodes the categories of a histogram booster, where they are texts."""
    if not texts_of(backend):
        return None
    preprocessor = getattr(estimator, "_preprocessor", None)
    if preprocessor is None:
        raise Unconvertible(f"{type(estimator).__name__} gets columns of texts")
    return make_step(preprocessor, "transform", backend)


def _make(names: tuple[str, ...], estimator: Any, method: str, backend: Backend) -> Step:
    step = _trees(estimator, method, backend)
    if step is not None:
        return step
    name = next((name for name in names if name in factories()), None)
    factory = None if name is None else factories()[name]
    if backend.others is None or texts_of(backend):
        if factory is None:
            raise Unconvertible(f"no translation of {names[0]}")
        return factory(estimator, method, backend)
    if factory is None:
        return convert(estimator, method, backend)
    # What predicts is what such an engine is for; around it and before it, numpy is as good.
    prefers_others = Building.of(backend).prefers_others and method != "transform"
    is_converted_first = prefers_others and not _is_container(factory)
    first, second = (convert, factory) if is_converted_first else (factory, convert)
    try:
        return first(estimator, method, backend)
    except Unconvertible:
        return second(estimator, method, backend)


def _is_container(factory: Factory) -> bool:
    """Say whether a factory translates what has other estimators in it."""
    return any(
        factory in importlib.import_module(f".{room}", __package__).FINALS.values()
        for room in _CONTAINER_ROOMS
    )


def _class_names(estimator: Any, method: str) -> tuple[str, ...]:
    """Return the names in the MRO of scikit-learn's own class.

    Raises:
        Unconvertible: the class is not scikit-learn's, or changes what it inherits.
    """
    bases = type(estimator).__mro__
    name = type(estimator).__name__
    own = next((index for index, base in enumerate(bases) if _is_own(base)), None)
    if own is None:
        raise Unconvertible(f"{name} is not scikit-learn's own")
    changes = [key for base in bases[:own] for key in vars(base) if not key.startswith(_HARMLESS)]
    if changes or method in vars(estimator):
        raise Unconvertible(f"{name} has a {(changes or [method])[0]} of its own")
    return tuple(base.__name__ for base in bases[own:])


def _is_own(kind: type) -> bool:
    return kind.__module__.startswith("sklearn.")
