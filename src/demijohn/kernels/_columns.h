/* Columns as the rows of one matrix, and texts as numbers. See _columns.c. */
#ifndef DEMIJOHN_COLUMNS_H
#define DEMIJOHN_COLUMNS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* turn_columns(columns, out) -> bool */
PyObject *turn_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

/* join_columns(columns, out) -> bool */
PyObject *join_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

/* copy_finite(numbers: bytes, out) -> bool */
PyObject *copy_finite(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

/* find_codes(cells, codes, unknown) -> bytearray of float64 | None */
PyObject *find_codes(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
