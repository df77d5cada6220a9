/* A JSON body that is exactly a matrix of numbers, or of lists of them, read in one pass.
 *
 * Rules of this room:
 * 1. It takes [[...], ...], {"instances": [[...], ...]} and {"inputs": [[...], ...]}: rows of one shape, lists in
 *    lists down to numbers, at least one row of at least one number. Of anything else it says nothing (None): the
 *    general reader answers it, or says what is wrong.
 * 2. What it takes is JSON to the letter (RFC 8259), and means what Python's json reads in it.
 */
#include "_matrix.h"

#include "_number.h"

#define MAX_RANK 8       /* images of several channels over time have five */
#define NEAR_NUMBERS 512 /* a request of a few rows needs no memory but its answer's */

typedef struct {
    const char *begin, *at, *end;
    double *numbers;  /* in `near`, or in `owner` */
    PyObject *owner;  /* a bytearray, or NULL while `near` suffices */
    size_t n_numbers, capacity, max_numbers;
    int rank;                 /* 0 until the first numbers were met */
    size_t sizes[MAX_RANK];   /* 0 until the first list of that depth was read to its end */
    double near[NEAR_NUMBERS];
} Reader;

static inline const char *
skip_space(const char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') {
        at++;
    }
    return at;
}

/* More room: at least twice as much, or what the body's length lets expect. 0, or -1 with MemoryError. */
static int
grow(Reader *reader, const char *at)
{
    double share = (double)(reader->end - reader->begin) / (double)(at - reader->begin);
    double expected = 1.05 * share * (double)reader->n_numbers;
    size_t capacity = reader->capacity * 2;
    capacity = expected > (double)capacity ? (size_t)expected : capacity;
    /* one more than is allowed will not be written */
    capacity = capacity > reader->max_numbers ? reader->max_numbers : capacity;
    Py_ssize_t n_bytes = (Py_ssize_t)(capacity * sizeof(double));
    if (reader->owner != NULL) {
        if (PyByteArray_Resize(reader->owner, n_bytes) < 0) {
            return -1;
        }
    } else {
        reader->owner = PyByteArray_FromStringAndSize(NULL, n_bytes);
        if (reader->owner == NULL) {
            return -1;
        }
        memcpy(PyByteArray_AsString(reader->owner), reader->near, sizeof reader->near);
    }
    reader->numbers = (double *)(void *)PyByteArray_AsString(reader->owner);
    reader->capacity = capacity;
    return 0;
}

/* 0 if a list is as long as all others of its depth. */
static int
settle_size(Reader *reader, int depth, size_t size)
{
    if (reader->sizes[depth] == 0) {
        reader->sizes[depth] = size;
    }
    return reader->sizes[depth] == size ? 0 : -1;
}

/* Numbers up to their list's "]". 0; -1 if these are none (or there is no memory: an error is set). */
static int
read_numbers(Reader *reader, int depth)
{
    const char *at = reader->at;
    size_t n_before = reader->n_numbers;
    for (;;) {
        if (reader->n_numbers == reader->max_numbers) {
            return -1;
        }
        if (reader->n_numbers == reader->capacity && grow(reader, at) < 0) {
            return -1;
        }
        if (read_number(&at, reader->end, reader->numbers + reader->n_numbers) < 0) {
            return -1;
        }
        reader->n_numbers++;
        at = skip_space(at);
        if (*at == ']') {
            break;
        }
        if (*at != ',') {
            return -1;
        }
        at = skip_space(at + 1);
    }
    reader->at = at + 1;
    return settle_size(reader, depth, reader->n_numbers - n_before);
}

/* From behind a list's "[" to behind its "]"; the rows are the list of depth 0, and no numbers. */
static int
read_list(Reader *reader, int depth)
{
    reader->at = skip_space(reader->at);
    int is_last = *reader->at != '[';
    if (is_last && reader->rank == 0 && depth > 0) {
        reader->rank = depth + 1;
    }
    if (is_last != (depth + 1 == reader->rank) || depth + 1 == MAX_RANK + is_last) {
        return -1;
    }
    if (is_last) {
        return read_numbers(reader, depth);
    }
    for (size_t size = 1;; size++) {
        if (*reader->at++ != '[' || read_list(reader, depth + 1) < 0) {
            return -1;
        }
        reader->at = skip_space(reader->at);
        if (*reader->at == ']') {
            reader->at++;
            return settle_size(reader, depth, size);
        }
        if (*reader->at++ != ',') {
            return -1;
        }
        reader->at = skip_space(reader->at);
    }
}

static int
skip_text(Reader *reader, const char *text)
{
    size_t n_bytes = strlen(text);
    if ((size_t)(reader->end - reader->at) < n_bytes || memcmp(reader->at, text, n_bytes) != 0) {
        return -1;
    }
    reader->at += n_bytes;
    return 0;
}

static int
read_body(Reader *reader)
{
    reader->at = skip_space(reader->at);
    int is_object = *reader->at == '{';
    if (is_object) {
        reader->at = skip_space(reader->at + 1);
        if (skip_text(reader, "\"instances\"") < 0 && skip_text(reader, "\"inputs\"") < 0) {
            return -1;
        }
        reader->at = skip_space(reader->at);
        if (*reader->at++ != ':') {
            return -1;
        }
        reader->at = skip_space(reader->at);
    }
    if (*reader->at++ != '[' || read_list(reader, 0) < 0) {
        return -1;
    }
    reader->at = skip_space(reader->at);
    if (is_object) {
        if (*reader->at++ != '}') {
            return -1;
        }
        reader->at = skip_space(reader->at);
    }
    return reader->at == reader->end ? 0 : -1;
}

static PyObject *
answer(Reader *reader)
{
    Py_ssize_t n_bytes = (Py_ssize_t)(reader->n_numbers * sizeof(double));
    if (reader->owner == NULL) {
        reader->owner = PyByteArray_FromStringAndSize((const char *)reader->near, n_bytes);
    } else if (PyByteArray_Resize(reader->owner, n_bytes) < 0) {
        return NULL;
    }
    if (reader->owner == NULL) {
        return NULL;
    }
    PyObject *shape = PyTuple_New(reader->rank);
    for (int depth = 0; shape != NULL && depth < reader->rank; depth++) {
        PyObject *size = PyLong_FromSize_t(reader->sizes[depth]);
        if (size == NULL || PyTuple_SetItem(shape, depth, size) < 0) { /* it takes size, come what may */
            Py_CLEAR(shape);
        }
    }
    return shape == NULL ? NULL : Py_BuildValue("(NO)", shape, reader->owner);
}

PyObject *
read_matrix(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Reader reader;
    if (n_args != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_matrix takes the body, as bytes, and the largest number of elements.");
        return NULL;
    }
    Py_ssize_t max_numbers = PyLong_AsSsize_t(args[1]);
    if (max_numbers == -1 && PyErr_Occurred()) {
        return NULL;
    }
    reader.begin = reader.at = PyBytes_AsString(args[0]);
    reader.end = reader.at + PyBytes_Size(args[0]);
    reader.numbers = reader.near;
    reader.owner = NULL;
    reader.n_numbers = 0;
    reader.rank = 0;
    memset(reader.sizes, 0, sizeof reader.sizes);
    reader.capacity = NEAR_NUMBERS;
    reader.max_numbers = max_numbers < 0 ? 0 : (size_t)max_numbers;
    PyObject *result = NULL;
    if (read_body(&reader) == 0) {
        result = answer(&reader);
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    Py_XDECREF(reader.owner);
    return result;
}
