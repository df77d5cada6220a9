/* The numbers of a JSON body under the key "data", apart from the rest of the body, which is short.
 *
 * It takes a body in which "data" stands as a key once, before a list of numbers, or of lists of them down to numbers.
 * In the rest an empty list stands in its place. Of anything else it says nothing (None).
 */
#include "_tensor.h"

#include "_lists.h"
#include "_rest.h"

#define MAX_TENSOR_REST 1024

typedef struct {
    Reader lists;
    Rest rest;
} Tensor;

/* From the "[" to behind its "]". 0, or -1 if the list is none of ours. */
static int
take_data(Tensor *tensor)
{
    Reader *reader = &tensor->lists;
    if (*tensor->rest.at != '[') {
        return -1;
    }
    reader->at = skip_blanks(tensor->rest.at + 1);
    if (*reader->at != '[') {
        reader->rank = 1;
    }
    if ((reader->rank == 1 ? read_numbers(reader, 0) : read_list(reader, 0)) < 0) {
        return -1;
    }
    return cut_list(&tensor->rest, reader->at);
}

/* Up to the body's end, or to -1: it is none of ours (or there is no memory: an error is set). */
static int
read_body(Tensor *tensor)
{
    static const char *const KEYS[] = {"data"};
    if (find_key(&tensor->rest, KEYS, 1) != 1 || take_data(tensor) < 0) {
        return -1;
    }
    return find_key(&tensor->rest, KEYS, 1) == 0 ? 0 : -1;
}

static PyObject *
answer(Tensor *tensor)
{
    PyObject *rest = PyBytes_FromStringAndSize(tensor->rest.bytes, (Py_ssize_t)tensor->rest.n_bytes);
    PyObject *id = id_of(&tensor->rest);
    PyObject *shape = take_shape(&tensor->lists), *numbers = take_numbers(&tensor->lists);
    PyObject *result = NULL;
    if (rest != NULL && id != NULL && shape != NULL && numbers != NULL) {
        result = PyTuple_Pack(5, rest, id, shape, tensor->lists.are_whole ? Py_True : Py_False, numbers);
    }
    Py_XDECREF(rest);
    Py_XDECREF(id);
    Py_XDECREF(shape);
    Py_XDECREF(numbers);
    return result;
}

PyObject *
read_tensor(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Tensor tensor;
    if (n_args != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_tensor takes the body, as bytes, and the largest number of elements.");
        return NULL;
    }
    if (open_reader(&tensor.lists, args[0], args[1]) < 0) {
        return NULL;
    }
    open_rest(&tensor.rest, tensor.lists.begin, tensor.lists.end, MAX_TENSOR_REST);
    PyObject *result = NULL;
    if (read_body(&tensor) == 0) {
        result = answer(&tensor);
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    close_reader(&tensor.lists);
    return result;
}

/* The float64 in a bytearray; NULL with an error. */
static double *
take_values(PyObject *numbers, size_t *n_values)
{
    if (!PyByteArray_Check(numbers)) {
        PyErr_SetString(PyExc_TypeError, "expected a bytearray of float64.");
        return NULL;
    }
    *n_values = (size_t)PyByteArray_Size(numbers) / sizeof(double);
    return (double *)(void *)PyByteArray_AsString(numbers);
}

PyObject *
round_to_float32(PyObject *module, PyObject *numbers)
{
    (void)module;
    size_t n_values;
    double *values = take_values(numbers, &n_values);
    if (values == NULL) {
        return NULL;
    }
    int are_finite = 1;
    for (size_t index = 0; index < n_values; index++) {
        float rounded = (float)values[index];
        are_finite &= isfinite(rounded) != 0;
        values[index] = rounded;
    }
    return PyBool_FromLong(are_finite);
}

PyObject *
are_between(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 3) {
        PyErr_SetString(PyExc_TypeError, "are_between takes the numbers, the least and the largest that is allowed.");
        return NULL;
    }
    size_t n_values;
    const double *values = take_values(args[0], &n_values);
    double least = PyFloat_AsDouble(args[1]), largest = PyFloat_AsDouble(args[2]);
    if (values == NULL || PyErr_Occurred()) {
        return NULL;
    }
    int are_inside = 1;
    for (size_t index = 0; index < n_values; index++) {
        are_inside &= (values[index] >= least) & (values[index] <= largest);
    }
    return PyBool_FromLong(are_inside);
}
