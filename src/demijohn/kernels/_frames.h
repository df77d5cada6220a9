/* JSON bodies whose values stand under "data", as columns or as rows. See _frames.c. */
#ifndef DEMIJOHN_FRAMES_H
#define DEMIJOHN_FRAMES_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* read_frame(body, max_cells, is_any_key) -> (rest, id, are_rows, n_rows, kinds, n_missing, cells, texts) | None */
PyObject *read_frame(PyObject *module, PyObject *const *args, Py_ssize_t n_args);

#endif
