/* add_to: values[place] += amount, for as many pairs as are given.
 *
 * Rules of this room:
 * 1. All or nothing: every pair is looked at before the first number changes.
 * 2. The GIL is kept: nobody who holds it sees half of a call.
 */
#include "_sums.h"

#define MOST_PAIRS 16

PyObject *
add_to(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args % 2 != 1 || n_args > 1 + 2 * MOST_PAIRS) {
        PyErr_Format(PyExc_TypeError, "add_to takes values and up to %d pairs of place and amount.", MOST_PAIRS);
        return NULL;
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(args[0], &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    double *values = buffer.buf;
    Py_ssize_t n_values = buffer.len / (Py_ssize_t)sizeof(double), n_pairs = n_args / 2;
    Py_ssize_t places[MOST_PAIRS];
    double amounts[MOST_PAIRS];
    if (buffer.format == NULL || buffer.format[0] != 'd' || buffer.format[1] != 0 ||
        (uintptr_t)values % sizeof(double) != 0) {
        PyErr_SetString(PyExc_ValueError, "values: expected an aligned buffer of float64.");
        goto refuse;
    }
    for (Py_ssize_t pair = 0; pair < n_pairs; pair++) {
        places[pair] = PyLong_AsSsize_t(args[1 + 2 * pair]);
        amounts[pair] = PyFloat_AsDouble(args[2 + 2 * pair]);
        if (PyErr_Occurred()) {
            goto refuse;
        }
        if (places[pair] < 0 || places[pair] >= n_values) {
            PyErr_Format(PyExc_IndexError, "place %zd is not among %zd values.", places[pair], n_values);
            goto refuse;
        }
    }
    for (Py_ssize_t pair = 0; pair < n_pairs; pair++) {
        values[places[pair]] += amounts[pair];
    }
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
refuse:
    PyBuffer_Release(&buffer);
    return NULL;
}
