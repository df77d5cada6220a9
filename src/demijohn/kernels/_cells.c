/* Lines of CSV whose cells are all numbers, or empty, read in one pass.
 *
 * Rules of this room:
 * 1. It takes lines that end in LF or CR LF, of one width, without quotes; empty lines are none. Of anything else it
 *    says nothing (None): the general reader answers it, or says what is wrong.
 * 2. A cell is what Python's float reads in it: a number as JSON has it, with spaces before it perhaps. An empty one
 *    is NaN, and counted.
 * 3. A line without its end is not read: more of it may come.
 */
#include "_cells.h"

#include "_number.h"

#define FIRST_CAPACITY 1024

typedef struct {
    const char *at, *end;
    double *cells;
    PyObject *owner; /* a bytearray, which holds the cells */
    size_t n_cells, capacity, n_empty, n_rows, width;
} Lines;

/* More room: what the text's length lets expect, or twice as much. 0, or -1 with MemoryError. */
static int
grow(Lines *lines)
{
    lines->capacity = lines->capacity ? 2 * lines->capacity : FIRST_CAPACITY;
    size_t most = (size_t)(lines->end - lines->at) + lines->n_cells; /* a cell is a byte or more, its end included */
    lines->capacity = lines->capacity > most ? most : lines->capacity;
    if (PyByteArray_Resize(lines->owner, (Py_ssize_t)(lines->capacity * sizeof(double))) < 0) {
        return -1;
    }
    lines->cells = (double *)(void *)PyByteArray_AsString(lines->owner);
    return 0;
}

/* One cell up to its end, which `at` points to then. 0, or -1 if it is none of ours. */
static inline int
read_cell(const char **from, const char *end, double *cell, size_t *n_empty)
{
    const char *at = *from;
    if (*at == ',' || *at == '\n' || *at == '\r') {
        *cell = NAN;
        ++*n_empty;
        return 0;
    }
    while (*at == ' ') {
        at++;
    }
    const char *begin = at;
    if (read_number(&at, end, cell) < 0) {
        return -1;
    }
    *cell = with_sign(*cell, *begin == '-'); /* "-0" is no integer here, and has its sign */
    *from = at;
    return 0;
}

/* One line, its end included: an LF will come. 0; -1 if it is none of ours (or an error is set). */
static int
read_line(Lines *lines)
{
    const char *at = lines->at;
    size_t n_before = lines->n_cells, n_empty = lines->n_empty;
    for (;;) {
        if (lines->n_cells == lines->capacity && grow(lines) < 0) {
            return -1;
        }
        if (read_cell(&at, lines->end, lines->cells + lines->n_cells, &n_empty) < 0) {
            return -1;
        }
        lines->n_cells++;
        if (*at != ',') {
            break;
        }
        at++;
    }
    at += *at == '\r';
    if (*at != '\n') {
        return -1;
    }
    size_t width = lines->n_cells - n_before;
    if (lines->width == 0) {
        lines->width = width;
    }
    if (lines->width != width) {
        return -1;
    }
    lines->n_empty = n_empty;
    lines->n_rows++;
    lines->at = at + 1;
    return 0;
}

static inline const char *
skip_empty_lines(const char *at)
{
    while (*at == '\n' || (*at == '\r' && at[1] == '\n')) {
        at += 1 + (*at == '\r');
    }
    return at;
}

/* All lines that are there, or so many. 0, or -1. */
static int
read_lines(Lines *lines, size_t max_rows)
{
    const char *stop = lines->end; /* the last LF: before it nothing runs out of the text */
    while (stop > lines->at && stop[-1] != '\n') {
        stop--;
    }
    if (stop == lines->at) {
        return 0;
    }
    stop--;
    while (lines->n_rows < max_rows) {
        lines->at = skip_empty_lines(lines->at);
        if (lines->at > stop) {
            break;
        }
        if (read_line(lines) < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *
read_cells(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 3 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_cells takes the text, as bytes, where to begin, and how many rows.");
        return NULL;
    }
    Py_ssize_t begin = PyLong_AsSsize_t(args[1]), max_rows = PyLong_AsSsize_t(args[2]), size = PyBytes_Size(args[0]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (begin < 0 || begin > size || max_rows < 0) {
        PyErr_SetString(PyExc_ValueError, "read_cells begins within the text.");
        return NULL;
    }
    const char *text = PyBytes_AsString(args[0]);
    Lines lines = {.at = text + begin, .end = text + size};
    lines.owner = PyByteArray_FromStringAndSize(NULL, 0);
    if (lines.owner == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (read_lines(&lines, (size_t)max_rows) == 0) {
        if (PyByteArray_Resize(lines.owner, (Py_ssize_t)(lines.n_cells * sizeof(double))) == 0) {
            result = Py_BuildValue("(nnnnO)", (Py_ssize_t)lines.n_rows, (Py_ssize_t)lines.width,
                                   (Py_ssize_t)lines.n_empty, (Py_ssize_t)(lines.at - text), lines.owner);
        }
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    Py_DECREF(lines.owner);
    return result;
}
