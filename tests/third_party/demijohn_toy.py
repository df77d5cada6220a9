"""The runtime for toyframework. It imports the framework only where a file is loaded."""

import hashlib

from demijohn.errors import ConfigurationError, LoadError
from demijohn.runtimes.formats import Format
from demijohn.signature import Signature, TensorSpec


def wrap(model, *, example=None, batch=False, concurrency=None):
    if batch:
        raise ConfigurationError("batch=True is for functions")
    if not len(model.points):
        raise LoadError("This Centres has no centres")
    return CentresRuntime(model, concurrency or 1)


class CentresRuntime:
    framework = "toyframework"
    framework_version = "1.0"
    methods = ("predict", "distances")
    joining = "prove"  # requests share a call once a batch was seen to equal its rows
    refusals = ()  # what the model raises on rows that it will not take: nothing
    is_callable_unasked = True
    survives_fork = True  # workers may be forked once the framework is imported

    def __init__(self, model, concurrency):
        self.model = model
        self.concurrency = concurrency
        self.warnings = ()
        self.metadata = {}  # what the file says of itself: author, version, description
        self.sha256 = None  # set by Demijohn for a model from a file
        n_centres, width = model.points.shape
        self.signature = Signature(
            "matrix",
            (TensorSpec("inputs", "float64", (-1, width)),),
            {
                "predict": (TensorSpec("predict", "str"),),
                "distances": (TensorSpec("distances", "float64", (-1, n_centres)),),
            },
        )

    def run(self, method, tensors, parameters):
        rows = tensors["inputs"]  # (n_rows, width) float64, checked
        answer = self.model.nearest if method == "predict" else self.model.distances
        return {method: answer(rows)}

    def parameters(self, method):
        return ()

    def classes(self, method):
        return self.model.labels.tolist() if method == "distances" else None

    def digest(self):
        return self.sha256 or hashlib.sha256(self.model.dump()).hexdigest()

    def example_rows(self):
        return self.model.points[:2].tolist()


# For files of its own: how they are told, what loading one may do, and who does it.


def is_centres(content):
    return content.startswith(b"centres\n")


def load_centres(artifact, content):
    import toyframework

    try:
        return toyframework.read(content)
    except (ValueError, KeyError) as error:
        raise LoadError(f"{artifact.path} cannot be read: {error}") from error


FORMATS = (Format("centres", "toyframework", "data", "demijohn_toy:load_centres", is_centres, (".centres",)),)
