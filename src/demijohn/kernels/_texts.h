/* The texts of a body, each made once per column.
 *
 * Rules of this room:
 * 1. A text is looked for by its bytes as they stand; only the first that is spelled so becomes a Python object.
 * 2. A search is short, or it is given up: nobody can make it long by texts that were chosen for it.
 */
#ifndef DEMIJOHN_TEXTS_H
#define DEMIJOHN_TEXTS_H

#include <stdint.h>
#include <string.h>

#define FEWEST_PLACES 256
#define LONGEST_SEARCH 64
#define MOST_KNOWN ((size_t)1 << 20) /* a body of more is no table of texts that come again */

typedef struct {
    const char *text; /* in the body; NULL: nothing is here */
    uint32_t length, column, hash, code;
} Known;

typedef struct {
    Known *places;
    size_t n_places, n_known; /* at least twice as many places */
} Texts;

static inline uint32_t
hash_of(const char *text, size_t length, size_t column)
{
    uint64_t hash = (column + 1) * 0x9e3779b97f4a7c15u + length;
    for (; length >= 8; text += 8, length -= 8) {
        uint64_t eight;
        memcpy(&eight, text, sizeof eight);
        hash = (hash ^ eight) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    memcpy(&rest, text, length);
    hash ^= rest;
    hash = (hash ^ hash >> 32) * 0xff51afd7ed558ccdu; /* a product's low bits know nothing of the last bytes, */
    hash = (hash ^ hash >> 32) * 0xc4ceb9fe1a85ec53u; /* which are what most of a column's texts differ in */
    return (uint32_t)(hash ^ hash >> 32);
}

/* Where a text is, or would be put; NULL if neither is near. */
static Known *
find_place(const Texts *texts, const Known *wanted)
{
    for (size_t step = 0; step < LONGEST_SEARCH; step++) {
        Known *place = texts->places + ((wanted->hash + step) & (texts->n_places - 1));
        if (place->text == NULL ||
            (place->hash == wanted->hash && place->length == wanted->length && place->column == wanted->column &&
             memcmp(place->text, wanted->text, wanted->length) == 0)) {
            return place;
        }
    }
    return NULL;
}

/* Room for one more. 0; -1 with MemoryError, or if some text finds no place. */
static int
make_room(Texts *texts)
{
    if (2 * (texts->n_known + 1) <= texts->n_places) {
        return 0;
    }
    size_t n_places = texts->n_places ? 2 * texts->n_places : FEWEST_PLACES;
    Known *old = texts->places, *made = PyMem_Calloc(n_places, sizeof *made);
    if (made == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    size_t n_old = texts->n_places;
    int result = 0;
    texts->places = made;
    texts->n_places = n_places;
    for (size_t index = 0; index < n_old && result == 0; index++) {
        Known *place = old[index].text == NULL ? NULL : find_place(texts, old + index);
        if (place != NULL) {
            *place = old[index];
        } else if (old[index].text != NULL) {
            result = -1;
        }
    }
    PyMem_Free(old);
    return result;
}

/* Makes a text of its bytes; NULL with an error. */
typedef PyObject *(*Make)(const char *text, Py_ssize_t length);

static inline PyObject *
of_utf8(const char *text, Py_ssize_t length)
{
    return PyUnicode_DecodeUTF8(text, length, NULL);
}

/* The number of a text among those of its column, in `made`, a list, which gains it. -1 if it is none of ours, or
 * with an error. */
static Py_ssize_t
code_of(Texts *texts, const char *text, size_t length, size_t column, PyObject *made, Make make)
{
    Known wanted = {.text = text, .length = (uint32_t)length, .column = (uint32_t)column};
    wanted.hash = hash_of(text, length, column);
    if (length > UINT32_MAX || column > UINT32_MAX || make_room(texts) < 0) {
        return -1;
    }
    Known *place = find_place(texts, &wanted);
    if (place == NULL || place->text != NULL) {
        return place == NULL ? -1 : (Py_ssize_t)place->code;
    }
    Py_ssize_t code = PyList_Size(made);
    int is_full = code < 0 || texts->n_known == MOST_KNOWN;
    PyObject *object = is_full ? NULL : make(text, (Py_ssize_t)length);
    if (object == NULL || PyList_Append(made, object) < 0) {
        Py_XDECREF(object);
        return -1;
    }
    Py_DECREF(object);
    wanted.code = (uint32_t)code;
    *place = wanted;
    texts->n_known++;
    return code;
}

/* What a reader says where it has no answer: None if what it read is none of its, such as a text that is no UTF-8 (a
 * ValueError); NULL with an error. */
static inline PyObject *
give_up(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_ValueError)) {
        return NULL;
    }
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

#endif
