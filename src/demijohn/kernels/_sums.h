/* Adding to numbers in a buffer. See _sums.c. */
#ifndef DEMIJOHN_SUMS_H
#define DEMIJOHN_SUMS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* add_to(values: writable buffer of float64, place: int, amount: float, ...) -> None */
PyObject *add_to(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

/* Tally(values, seconds, sizes, places): add(...) counts one answer, as the stub says. */
extern PyType_Spec tally_spec;

#endif
