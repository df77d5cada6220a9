/* Reading the numbers of a JSON body apart from what stands around them. See _tensor.c. */
#ifndef DEMIJOHN_TENSOR_H
#define DEMIJOHN_TENSOR_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_tensor(body: bytes, max_elements: int)
 *     -> (rest: bytes, id: str | None, shape, are_whole: bool, numbers: bytearray of float64) | None */
PyObject *read_tensor(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

/* round_to_float32(numbers: bytearray of float64) -> bool: in their place; false if one is too large */
PyObject *round_to_float32(PyObject *module, PyObject *numbers);

/* are_between(numbers: bytearray of float64, least: float, largest: float) -> bool: both are allowed, NaN is not */
PyObject *are_between(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
