/* Cells of JSON, numbers, texts, truths and nulls, read into one array: columns of one kind each.
 *
 * Rules of this room:
 * 1. What is read is JSON to the letter (RFC 8259), and means what Python's json reads in it.
 * 2. The text ends with NUL, which is part of no cell, so single bytes are read without asking for the end.
 */
#ifndef DEMIJOHN_JSON_CELLS_H
#define DEMIJOHN_JSON_CELLS_H

#include "_escapes.h"
#include "_number.h"
#include "_quotes.h"
#include "_texts.h"

#define FIRST_CAPACITY 1024
#define FIRST_COLUMNS 32

typedef struct {
    const char *lead, *key; /* of records, in the first: what stands before the cell, and the key in its quotes */
    size_t n_lead_bytes, n_key_bytes;
    Make make_name; /* of the key */
    char kind;      /* n number, s text, b truth, 0 as long as there are nulls alone */
    int has_parts;  /* some number is no whole one */
    PyObject *texts;
} Column;

typedef struct {
    const char *at, *end;
    Column *columns;
    size_t n_columns, columns_capacity, n_missing, n_cells, capacity, max_cells;
    PyObject *owner; /* a bytearray, which holds the cells */
    double *cells;
    Texts texts;
} Cells;

/* Begin with a text, which is bytes, and how many cells there may be. 0, or -1 with an error. */
static int
open_cells(Cells *cells, PyObject *text, PyObject *max_cells)
{
    Py_ssize_t most = PyLong_AsSsize_t(max_cells);
    memset(cells, 0, sizeof *cells);
    if (most == -1 && PyErr_Occurred()) {
        return -1;
    }
    cells->at = PyBytes_AsString(text);
    cells->end = cells->at + PyBytes_Size(text);
    cells->max_cells = most < 0 ? 0 : (size_t)most;
    cells->owner = PyByteArray_FromStringAndSize(NULL, 0);
    return cells->owner == NULL ? -1 : 0;
}

static void
close_cells(Cells *cells)
{
    for (size_t index = 0; index < cells->n_columns; index++) {
        Py_XDECREF(cells->columns[index].texts);
    }
    PyMem_Free(cells->columns);
    PyMem_Free(cells->texts.places);
    Py_XDECREF(cells->owner);
}

/* More room: twice as much, or what the text's length lets expect. 0; -1 with MemoryError, or if it is too much. */
static int
grow(Cells *cells)
{
    size_t most = (size_t)(cells->end - cells->at) / 2 + cells->n_cells + 1; /* a cell and its comma: 2 bytes */
    most = most > cells->max_cells ? cells->max_cells : most;
    size_t capacity = cells->capacity ? 2 * cells->capacity : FIRST_CAPACITY;
    cells->capacity = capacity > most ? most : capacity;
    if (cells->capacity <= cells->n_cells ||
        PyByteArray_Resize(cells->owner, (Py_ssize_t)(cells->capacity * sizeof(double))) < 0) {
        return -1;
    }
    cells->cells = (double *)(void *)PyByteArray_AsString(cells->owner);
    return 0;
}

static int
settle_kind(Column *column, char kind)
{
    if (column->kind == 0) {
        column->kind = kind;
    }
    return column->kind == kind ? 0 : -1;
}

static int
read_text(Cells *cells, size_t index, double *cell)
{
    Column *column = cells->columns + index;
    int has_escapes;
    const char *text = cells->at + 1, *quote = find_quote(text, cells->end, &has_escapes);
    if (quote == NULL || settle_kind(column, 's') < 0) {
        return -1;
    }
    if (column->texts == NULL && (column->texts = PyList_New(0)) == NULL) {
        return -1;
    }
    Make make = has_escapes ? of_escaped : of_utf8;
    Py_ssize_t code = code_of(&cells->texts, text, (size_t)(quote - text), index, column->texts, make);
    cells->at = quote + 1;
    *cell = (double)code;
    return code < 0 ? -1 : 0;
}

/* true, false or null. */
static int
read_word(Cells *cells, Column *column, double *cell)
{
    const char *at = cells->at;
    if (strncmp(at, "null", 4) == 0) { /* the body ends with a NUL, which is in no word */
        cells->at += 4;
        cells->n_missing++;
        *cell = NAN;
        return 0;
    }
    int is_true = strncmp(at, "true", 4) == 0;
    if (!is_true && strncmp(at, "false", 5) != 0) {
        return -1;
    }
    cells->at += is_true ? 4 : 5;
    *cell = is_true;
    return settle_kind(column, 'b');
}

/* 0; -1 if it is none of ours, or with an error. */
static inline int
read_cell(Cells *cells, size_t index)
{
    if (cells->n_cells == cells->capacity && grow(cells) < 0) {
        return -1;
    }
    double *cell = cells->cells + cells->n_cells++;
    Column *column = cells->columns + index;
    if (*cells->at == '-' || is_digit(*cells->at)) {
        int is_whole;
        if (read_any_number(&cells->at, cells->end, cell, &is_whole) < 0) {
            return -1;
        }
        column->has_parts |= !is_whole;
        return settle_kind(column, 'n');
    }
    return *cells->at == '"' ? read_text(cells, index, cell) : read_word(cells, column, cell);
}

static int
add_column(Cells *cells)
{
    if (cells->n_columns == cells->columns_capacity) {
        size_t capacity = cells->columns_capacity ? 2 * cells->columns_capacity : FIRST_COLUMNS;
        Column *columns = PyMem_Realloc(cells->columns, capacity * sizeof *columns);
        if (columns == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        cells->columns = columns;
        cells->columns_capacity = capacity;
    }
    memset(cells->columns + cells->n_columns, 0, sizeof(Column));
    cells->n_columns++;
    return 0;
}

/* A letter for each column's kind, and the texts of each or None. 0, or -1 with an error. */
static int
describe(Cells *cells, PyObject **kinds, PyObject **texts)
{
    char *letters = PyMem_Malloc(cells->n_columns);
    *kinds = NULL;
    *texts = PyTuple_New((Py_ssize_t)cells->n_columns);
    int fits = *texts != NULL && PyByteArray_Resize(cells->owner, (Py_ssize_t)(cells->n_cells * sizeof(double))) == 0;
    if (letters == NULL) {
        PyErr_NoMemory();
        fits = 0;
    }
    for (size_t index = 0; fits && index < cells->n_columns; index++) {
        const Column *column = cells->columns + index;
        letters[index] = column->kind == 'n' ? (column->has_parts ? 'f' : 'i') : column->kind ? column->kind : '-';
        PyObject *made = Py_NewRef(column->texts == NULL ? Py_None : column->texts);
        fits = PyTuple_SetItem(*texts, (Py_ssize_t)index, made) == 0; /* it takes made, come what may */
    }
    if (fits) {
        *kinds = PyUnicode_FromStringAndSize(letters, (Py_ssize_t)cells->n_columns);
    }
    PyMem_Free(letters);
    if (*kinds == NULL) {
        Py_CLEAR(*texts);
        return -1;
    }
    return 0;
}

#endif
