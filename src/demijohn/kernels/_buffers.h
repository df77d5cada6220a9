/* Arrays that come from Python. */
#ifndef DEMIJOHN_BUFFERS_H
#define DEMIJOHN_BUFFERS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

/* A buffer of `format`'s kind ("i" int32, "I" uint32, "q" int64, "f" float32, "d" float64, "?" bool) in C order; of any
 * number of dimensions where that is 0. -1 with an error. */
static inline int
take_buffer(PyObject *object, char format, int n_dimensions, int flags, const char *name, Py_buffer *buffer)
{
    if (PyObject_GetBuffer(object, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) < 0) {
        return -1;
    }
    Py_ssize_t itemsize = format == 'd' || format == 'q' ? 8 : format == '?' ? 1 : 4;
    const char *given = buffer->format;
    int fits = given != NULL && given[0] != 0 && given[1] == 0 &&
               (given[0] == format || ((format == 'i' || format == 'q') && given[0] == 'l') ||
                (format == 'I' && given[0] == 'L'));
    if (!fits || buffer->itemsize != itemsize || (n_dimensions != 0 && buffer->ndim != n_dimensions) ||
        (uintptr_t)buffer->buf % (size_t)itemsize != 0) {
        PyErr_Format(PyExc_ValueError, "%s: expected an aligned array of format '%c' with %d dimensions.", name, format,
                     n_dimensions);
        PyBuffer_Release(buffer);
        return -1;
    }
    return 0;
}

#endif
