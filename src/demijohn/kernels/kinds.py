"""What a step of a network does: ``Kind`` in ``_network.h``, number for number."""

from enum import IntEnum


class Kind(IntEnum):
    """With which a step of ``Network`` begins."""

    DENSE = 0
    AFFINE = 1
    RELU = 2
    CAPPED = 3
    ELU = 4
    SELU = 5
    SIGMOID = 6
    SILU = 7
    TANH = 8
    SOFTPLUS = 9
    SOFTSIGN = 10
    EXPONENTIAL = 11
    GELU = 12
    SOFTMAX = 13
