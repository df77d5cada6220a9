/* The numbers of a JSON body under the key "data", apart from the rest of the body, which is short.
 *
 * Rules of this room:
 * 1. It takes a body in which "data" stands as a key once, before a list of numbers, or of lists of them down to
 *    numbers. In the rest an empty list stands in its place. Of anything else it says nothing (None).
 * 2. It does not know whether the rest is JSON: whoever reads that finds out. The body is, exactly if the rest is, and
 *    then means the same but for what was cut out. For what is cut out is JSON to the letter, and so is what stands in
 *    its place; and it is one whole value: strings are skipped from quote to quote, and none has an escape, so that
 *    a cut is never within one.
 * 3. A client's id is another at each request: where "id" stands as a key once, before a string, that is cut out too,
 *    and "" stands in its place. A second key "id" is none of its.
 */
#include "_tensor.h"

#include "_lists.h"

#define MAX_REST 1024 /* bytes: a longer one is no plain request */
#define MAX_ID 128

typedef struct {
    Reader lists;
    const char *id;      /* in the body; NULL as long as none was cut out */
    size_t n_id_bytes;
    int has_id, has_data; /* the key was met */
    size_t n_rest;
    char rest[MAX_REST];
} Tensor;

/* Append to the rest what needs no reading. 0, or -1 if it grows too long. */
static inline int
keep(Tensor *tensor, const char *begin, const char *end)
{
    size_t n_bytes = (size_t)(end - begin);
    if (n_bytes > MAX_REST - tensor->n_rest) {
        return -1;
    }
    memcpy(tensor->rest + tensor->n_rest, begin, n_bytes);
    tensor->n_rest += n_bytes;
    return 0;
}

/* The next quote; NULL where there is none within as many bytes as the rest may have. */
static inline const char *
find_quote(const Reader *reader, const char *at)
{
    size_t n_left = (size_t)(reader->end - at);
    return memchr(at, '"', n_left < MAX_REST ? n_left : MAX_REST);
}

/* From the "[" to behind its "]". 0, or -1 if the list is none of ours. */
static int
take_data(Tensor *tensor, const char *at)
{
    Reader *reader = &tensor->lists;
    static const char EMPTY[] = "[]";
    if (tensor->has_data || *at != '[' || keep(tensor, EMPTY, EMPTY + 2) < 0) {
        return -1;
    }
    tensor->has_data = 1;
    reader->at = skip_space(at + 1);
    if (*reader->at == '[') {
        return read_list(reader, 0);
    }
    reader->rank = 1;
    return read_numbers(reader, 0);
}

/* A string's value may be cut out if it is plain; others may have any id. 0, or -1. */
static int
take_id(Tensor *tensor, const char *at)
{
    Reader *reader = &tensor->lists;
    if (tensor->has_id) {
        return -1;
    }
    tensor->has_id = 1;
    reader->at = at;
    if (*at != '"') {
        return 0;
    }
    static const char EMPTY[] = "\"\"";
    const char *begin = ++at;
    while (*at >= ' ' && *at <= '~' && *at != '"' && *at != '\\') { /* ASCII, and no NUL */
        at++;
    }
    if (*at != '"' || at - begin > MAX_ID) {
        return -1;
    }
    tensor->id = begin;
    tensor->n_id_bytes = (size_t)(at - begin);
    reader->at = at + 1;
    return keep(tensor, EMPTY, EMPTY + 2);
}

static inline int
is_text(const char *begin, const char *end, const char *text, size_t n_bytes)
{
    return (size_t)(end - begin) == n_bytes && memcmp(begin, text, n_bytes) == 0;
}

/* Up to the body's end, or to -1: it is none of ours (or there is no memory: an error is set). */
static int
read_body(Tensor *tensor)
{
    Reader *reader = &tensor->lists;
    for (;;) {
        const char *quote = find_quote(reader, reader->at);
        if (quote == NULL) {
            return tensor->has_data ? keep(tensor, reader->at, reader->end) : -1;
        }
        const char *text = quote + 1, *last = find_quote(reader, text);
        if (last == NULL || memchr(text, '\\', (size_t)(last - text)) != NULL) {
            return -1;
        }
        const char *at = skip_space(last + 1);
        int is_key = *at == ':';
        at = is_key ? skip_space(at + 1) : at;
        if (keep(tensor, reader->at, at) < 0) {
            return -1;
        }
        reader->at = at;
        if (is_key && is_text(text, last, "data", 4)) {
            if (take_data(tensor, at) < 0) {
                return -1;
            }
        } else if (is_key && is_text(text, last, "id", 2) && take_id(tensor, at) < 0) {
            return -1;
        }
    }
}

static PyObject *
answer(Tensor *tensor)
{
    PyObject *rest = PyBytes_FromStringAndSize(tensor->rest, (Py_ssize_t)tensor->n_rest);
    PyObject *id = tensor->id == NULL ? Py_NewRef(Py_None)
                                      : PyUnicode_FromStringAndSize(tensor->id, (Py_ssize_t)tensor->n_id_bytes);
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
    tensor.id = NULL;
    tensor.has_id = tensor.has_data = 0;
    tensor.n_rest = 0;
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
