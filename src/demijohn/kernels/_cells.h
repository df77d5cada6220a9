/* Reading lines of CSV whose cells are all numbers. See _cells.c. */
#ifndef DEMIJOHN_CELLS_H
#define DEMIJOHN_CELLS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_cells(text: bytes, begin: int, max_rows: int) -> (n_rows, width, n_empty, end, cells: bytearray) | None */
PyObject *read_cells(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
