/* Finding the numbers in an Arrow stream. See _arrow.c. */
#ifndef DEMIJOHN_ARROW_H
#define DEMIJOHN_ARROW_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* find_numbers(body: bytes, max_bytes: int) -> (names, dtype, n_rows, begin, step) | None */
PyObject *find_numbers(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
