/* Lists of numbers, or lists of lists down to numbers, all of one depth of one length, read into one array.
 *
 * Rules of this room:
 * 1. What is read is JSON to the letter (RFC 8259); each number is the float64 that Python's json makes of it.
 * 2. The text ends with NUL, which is part of no list, so single bytes are read without asking for the end.
 */
#ifndef DEMIJOHN_LISTS_H
#define DEMIJOHN_LISTS_H

#include "_blanks.h"
#include "_number.h"

#define MAX_RANK 8       /* images of several channels over time have five */
#define NEAR_NUMBERS 512 /* a request of a few rows needs no memory but its answer's */

typedef struct {
    const char *begin, *at, *end;
    double *numbers;  /* in `near`, or in `owner` */
    PyObject *owner;  /* a bytearray, or NULL while `near` suffices */
    size_t n_numbers, capacity, max_numbers;
    int are_whole;            /* each is written as an integer, and float64 holds all around it */
    int rank;                 /* 0 until the first numbers were met */
    size_t sizes[MAX_RANK];   /* 0 until the first list of that depth was read to its end */
    double near[NEAR_NUMBERS];
} Reader;

/* Begin with a text, which is bytes, and how many numbers there may be. 0, or -1 with an error. */
static inline int
open_reader(Reader *reader, PyObject *text, PyObject *max_numbers)
{
    Py_ssize_t most = PyLong_AsSsize_t(max_numbers);
    if (most == -1 && PyErr_Occurred()) {
        return -1;
    }
    reader->begin = reader->at = PyBytes_AsString(text);
    reader->end = reader->at + PyBytes_Size(text);
    reader->numbers = reader->near;
    reader->owner = NULL;
    reader->n_numbers = 0;
    reader->are_whole = 1;
    reader->rank = 0;
    memset(reader->sizes, 0, sizeof reader->sizes);
    reader->capacity = NEAR_NUMBERS;
    reader->max_numbers = most < 0 ? 0 : (size_t)most;
    return 0;
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
        int is_whole;
        if (reader->n_numbers == reader->max_numbers) {
            return -1;
        }
        if (reader->n_numbers == reader->capacity && grow(reader, at) < 0) {
            return -1;
        }
        if (read_any_number(&at, reader->end, reader->numbers + reader->n_numbers, &is_whole) < 0) {
            return -1;
        }
        reader->n_numbers++;
        reader->are_whole &= is_whole;
        at = skip_blanks(at);
        if (*at == ']') {
            break;
        }
        if (*at != ',') {
            return -1;
        }
        at = skip_blanks(at + 1);
    }
    reader->at = at + 1;
    return settle_size(reader, depth, reader->n_numbers - n_before);
}

/* From behind a list's "[" to behind its "]"; if the rank is not known yet, the list of depth 0 holds lists. */
static int
read_list(Reader *reader, int depth)
{
    reader->at = skip_blanks(reader->at);
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
        reader->at = skip_blanks(reader->at);
        if (*reader->at == ']') {
            reader->at++;
            return settle_size(reader, depth, size);
        }
        if (*reader->at++ != ',') {
            return -1;
        }
        reader->at = skip_blanks(reader->at);
    }
}

/* What was read: a tuple of sizes. NULL with an error. */
static PyObject *
take_shape(const Reader *reader)
{
    PyObject *shape = PyTuple_New(reader->rank);
    for (int depth = 0; shape != NULL && depth < reader->rank; depth++) {
        PyObject *size = PyLong_FromSize_t(reader->sizes[depth]);
        if (size == NULL || PyTuple_SetItem(shape, depth, size) < 0) { /* it takes size, come what may */
            Py_CLEAR(shape);
        }
    }
    return shape;
}

/* What was read: the numbers, in a bytearray. NULL with an error. */
static PyObject *
take_numbers(Reader *reader)
{
    Py_ssize_t n_bytes = (Py_ssize_t)(reader->n_numbers * sizeof(double));
    if (reader->owner == NULL) {
        return PyByteArray_FromStringAndSize((const char *)reader->near, n_bytes);
    }
    return PyByteArray_Resize(reader->owner, n_bytes) < 0 ? NULL : Py_NewRef(reader->owner);
}

static inline void
close_reader(Reader *reader)
{
    Py_CLEAR(reader->owner);
}

#endif
