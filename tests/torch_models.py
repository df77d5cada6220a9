"""Small models of PyTorch, made in the test that uses them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.export import Dim

ROWS = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))


class Mlp(nn.Module):
    """x (n, 4) -> (n, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.first(x).relu()
        result: torch.Tensor = self.second(hidden)
        return result


class Digits(nn.Module):
    """image (n, 1, 8, 8) -> (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.judge = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.judge(self.look(image).relu().flatten(1))
        return result


class Words(nn.Module):
    """ids (n, t) of 20 words, weight (n,) -> score (n,), mean (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 2)

    def forward(self, ids: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        mean = self.table(ids).mean(1)
        return {"score": mean.sum(1) * weight, "mean": mean}


class Pair(NamedTuple):
    """Two answers by name."""

    low: torch.Tensor
    high: torch.Tensor


def made(kind: type[nn.Module]) -> Any:
    """Return a module with the same weights each time, ready to answer."""
    torch.manual_seed(0)
    return kind().eval()


def exported(kind: type[nn.Module] = Mlp, *example: torch.Tensor, **dims: Any) -> Any:
    """Export a module; axis 0 varies unless ``dynamic_shapes`` says otherwise."""
    example = example or (ROWS[:2],)
    shapes = dims.get("dynamic_shapes", tuple({0: Dim("n")} for _ in example))
    return torch.export.export(made(kind), example, dynamic_shapes=shapes)


def save(program: Any, path: Path) -> Path:
    torch.export.save(program, path)
    return path


def scripted(kind: type[nn.Module], path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(made(kind)), path)
    return path


def own(module: Any, *tensors: torch.Tensor) -> Any:
    """Return what a module itself answers."""
    with torch.inference_mode():
        return module(*tensors)
