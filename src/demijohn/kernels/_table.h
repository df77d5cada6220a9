/* Reading lines of CSV whose columns are numbers or texts. See _table.c. */
#ifndef DEMIJOHN_TABLE_H
#define DEMIJOHN_TABLE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_table(text: bytes, begin: int, max_rows: int, width: int)
 *     -> (kinds, n_rows, n_missing, end, cells: bytearray of float64, texts) | None */
PyObject *read_table(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
