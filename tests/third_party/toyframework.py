"""A framework that fits on a page: a model knows labelled centres, and names the nearest."""

import json

import numpy as np

__version__ = "1.0"


class Centres:
    def __init__(self, labels, points):
        self.labels = np.array(labels)
        self.points = np.array(points, dtype=float)

    def distances(self, rows):
        return np.linalg.norm(rows[:, None, :] - self.points, axis=2)

    def nearest(self, rows):
        return self.labels[self.distances(rows).argmin(axis=1)]

    def dump(self):
        written = {"labels": self.labels.tolist(), "points": self.points.tolist()}
        return b"centres\n" + json.dumps(written).encode()


def read(content):
    written = json.loads(content.removeprefix(b"centres\n"))
    return Centres(written["labels"], written["points"])
