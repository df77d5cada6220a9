/* Reading an Arrow stream of numbers and texts into one array. See _arrow_cells.c. */
#ifndef DEMIJOHN_ARROW_CELLS_H
#define DEMIJOHN_ARROW_CELLS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_columns(body: bytes, max_bytes: int, max_texts: int)
 *     -> (names, kinds, n_rows, n_missing, cells: bytearray of float64, a column after another, texts) | None */
PyObject *read_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
