/* Reading a JSON body that is exactly a matrix of numbers. See _matrix.c. */
#ifndef DEMIJOHN_MATRIX_H
#define DEMIJOHN_MATRIX_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_matrix(body: bytes, max_elements: int) -> (shape, numbers: bytearray of float64) | None */
PyObject *read_matrix(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
