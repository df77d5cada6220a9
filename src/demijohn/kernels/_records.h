/* Reading JSON records whose keys stand in one order. See _records.c. */
#ifndef DEMIJOHN_RECORDS_H
#define DEMIJOHN_RECORDS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_records(body: bytes, max_cells: int, is_lines: bool)
 *     -> (names, kinds, n_rows, n_missing, cells: bytearray of float64, texts) | None */
PyObject *read_records(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
