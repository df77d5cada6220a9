/* Lines of CSV whose columns are each numbers or texts, or empty, read in one pass.
 *
 * Rules of this room:
 * 1. It takes lines that end in LF or CR LF, of one width, without quotes; empty lines are none. Of anything else it
 *    says nothing (None): the general reader answers it, or says what is wrong.
 * 2. The first cell of a column that is not empty says of which kind it is: a number as _cells.c has it, or a text,
 *    whatever it looks like. A column of numbers holds no texts; in one of texts each cell is what is written there.
 * 3. A line without its end is not read: more of it may come.
 */
#include "_table.h"

#include "_number.h"
#include "_texts.h"

#define FIRST_CAPACITY 1024
#define LONGEST_CELL 131072 /* that Python's csv reads */

typedef struct {
    char kind; /* n number, s text, 0 as long as all are empty */
    int has_parts;
    PyObject *texts;
} Column;

typedef struct {
    const char *at, *end;
    Column *columns;
    double *cells;
    PyObject *owner; /* a bytearray, which holds the cells */
    size_t width, n_rows, n_cells, capacity, n_missing;
    Texts texts;
} Table;

static int
grow(Table *table)
{
    size_t most = (size_t)(table->end - table->at) + table->n_cells + 1; /* a cell and its end: a byte or more */
    table->capacity = table->capacity ? 2 * table->capacity : FIRST_CAPACITY;
    table->capacity = table->capacity > most ? most : table->capacity;
    if (PyByteArray_Resize(table->owner, (Py_ssize_t)(table->capacity * sizeof(double))) < 0) {
        return -1;
    }
    table->cells = (double *)(void *)PyByteArray_AsString(table->owner);
    return 0;
}

static inline int
is_end(char byte)
{
    return byte == ',' || byte == '\n' || byte == '\r';
}

/* The number that a cell is. 0, or -1 if it is none. */
static inline int
read_cell_number(Table *table, Column *column, double *cell)
{
    const char *at = table->at;
    int is_whole;
    while (*at == ' ') {
        at++;
    }
    const char *begin = at;
    if (read_any_number(&at, table->end, cell, &is_whole) < 0 || !is_end(*at) || at - table->at > LONGEST_CELL) {
        return -1;
    }
    *cell = with_sign(*cell, *begin == '-'); /* "-0" is no integer here, and has its sign */
    column->has_parts |= !is_whole;
    table->at = at;
    return 0;
}

static int
read_cell_text(Table *table, size_t index, double *cell)
{
    Column *column = table->columns + index;
    const char *begin = table->at, *at = begin;
    while (!is_end(*at) && *at != '"' && *at != 0) { /* a line end comes */
        at++;
    }
    if (!is_end(*at) || at - begin > LONGEST_CELL || (column->texts == NULL && (column->texts = PyList_New(0)) == NULL)) {
        return -1;
    }
    Py_ssize_t code = code_of(&table->texts, begin, (size_t)(at - begin), index, column->texts, of_utf8);
    *cell = (double)code;
    table->at = at;
    return code < 0 ? -1 : 0;
}

static inline int
read_cell(Table *table, size_t index)
{
    if (table->n_cells == table->capacity && grow(table) < 0) {
        return -1;
    }
    double *cell = table->cells + table->n_cells++;
    Column *column = table->columns + index;
    if (is_end(*table->at)) {
        *cell = NAN;
        table->n_missing++;
        return 0;
    }
    if (column->kind != 's' && read_cell_number(table, column, cell) == 0) {
        column->kind = 'n';
        return 0;
    }
    if (column->kind == 'n') {
        return -1;
    }
    column->kind = 's';
    return read_cell_text(table, index, cell);
}

static int
read_line(Table *table)
{
    for (size_t index = 0; index < table->width; index++) {
        if ((index > 0 && *table->at++ != ',') || read_cell(table, index) < 0) {
            return -1;
        }
    }
    table->at += *table->at == '\r';
    if (*table->at++ != '\n') {
        return -1;
    }
    table->n_rows++;
    return 0;
}

/* All lines that are there, or so many. 0, or -1. */
static int
read_lines(Table *table, size_t max_rows)
{
    const char *stop = table->end; /* the last LF: before it nothing runs out of the text */
    while (stop > table->at && stop[-1] != '\n') {
        stop--;
    }
    while (table->n_rows < max_rows) {
        while (*table->at == '\n' || (*table->at == '\r' && table->at[1] == '\n')) {
            table->at += 1 + (*table->at == '\r'); /* an empty line */
        }
        if (table->at >= stop) {
            break;
        }
        if (read_line(table) < 0) {
            return -1;
        }
    }
    return 0;
}

/* NULL with an error. */
static PyObject *
answer(Table *table, const char *text)
{
    Py_ssize_t width = (Py_ssize_t)table->width;
    PyObject *texts = PyTuple_New(width), *result = NULL;
    char *kinds = PyMem_Malloc(table->width);
    if (kinds == NULL) {
        PyErr_NoMemory();
    }
    int fits = texts != NULL && kinds != NULL &&
               PyByteArray_Resize(table->owner, (Py_ssize_t)(table->n_cells * sizeof(double))) == 0;
    for (Py_ssize_t index = 0; fits && index < width; index++) {
        const Column *column = table->columns + index;
        PyObject *made = Py_NewRef(column->texts == NULL ? Py_None : column->texts);
        kinds[index] = column->kind == 'n' ? (column->has_parts ? 'f' : 'i') : column->kind ? column->kind : '-';
        fits = PyTuple_SetItem(texts, index, made) == 0;
    }
    if (fits) {
        result = Py_BuildValue("(s#nnnOO)", kinds, width, (Py_ssize_t)table->n_rows, (Py_ssize_t)table->n_missing,
                               (Py_ssize_t)(table->at - text), table->owner, texts);
    }
    PyMem_Free(kinds);
    Py_XDECREF(texts);
    return result;
}

static void
release(Table *table)
{
    for (size_t index = 0; table->columns != NULL && index < table->width; index++) {
        Py_XDECREF(table->columns[index].texts);
    }
    PyMem_Free(table->columns);
    PyMem_Free(table->texts.places);
    Py_XDECREF(table->owner);
}

PyObject *
read_table(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 4 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_table takes the text, as bytes, where to begin, how many rows, and width.");
        return NULL;
    }
    Py_ssize_t begin = PyLong_AsSsize_t(args[1]), max_rows = PyLong_AsSsize_t(args[2]);
    Py_ssize_t width = PyLong_AsSsize_t(args[3]), size = PyBytes_Size(args[0]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (begin < 0 || begin > size || max_rows < 0 || width < 1) {
        PyErr_SetString(PyExc_ValueError, "read_table begins within the text, and reads one column or more.");
        return NULL;
    }
    const char *text = PyBytes_AsString(args[0]);
    Table table = {.at = text + begin, .end = text + size, .width = (size_t)width};
    table.owner = PyByteArray_FromStringAndSize(NULL, 0);
    table.columns = PyMem_Calloc((size_t)width, sizeof *table.columns);
    PyObject *result = NULL;
    if (table.columns == NULL) {
        PyErr_NoMemory();
    } else if (table.owner != NULL && read_lines(&table, (size_t)max_rows) == 0) {
        result = answer(&table, text);
    }
    result = result == NULL ? give_up() : result;
    release(&table);
    return result;
}
