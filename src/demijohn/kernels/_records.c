/* JSON records whose keys stand in one order, and whose cells are numbers, texts, truths or null, in one pass.
 *
 * Rules of this room:
 * 1. It takes [{...}, ...], that as the only value of an object under "instances", "inputs" or "dataframe_records",
 *    and lines of {...}: at least one record of at least one cell. Each has the keys of the first, written alike and
 *    in its order. A column holds numbers, texts or truths, and nulls among them. Of anything else it says nothing
 *    (None): the general reader answers it, or says what is wrong.
 * 2. What it takes is JSON to the letter (RFC 8259), and means what Python's json reads in it.
 * 3. Texts with escapes are none of its.
 */
#include "_records.h"

#include "_number.h"
#include "_texts.h"

#define FIRST_CAPACITY 1024
#define FIRST_COLUMNS 32

typedef struct {
    const char *lead, *key; /* in the first record: what stands before the cell, and the key in its quotes */
    size_t n_lead_bytes, n_key_bytes;
    char kind;     /* n number, s text, b truth, 0 as long as there are nulls alone */
    int has_parts; /* some number is no whole one */
    PyObject *texts;
} Column;

typedef struct {
    const char *at, *end;
    int is_lines;
    Column *columns;
    size_t n_columns, columns_capacity, n_rows, n_missing, n_cells, capacity, max_cells;
    PyObject *owner; /* a bytearray, which holds the cells */
    double *cells;
    Texts texts;
} Records;

/* Spaces; line ends are among them, except where each ends a record. */
static inline const char *
skip_space(const Records *records, const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r' || (*at == '\n' && !records->is_lines)) {
        at++;
    }
    return at;
}

static const char *
skip_lines(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n') {
        at++;
    }
    return at;
}

/* More room: twice as much, or what the text's length lets expect. 0; -1 with MemoryError, or if it is too much. */
static int
grow(Records *records)
{
    size_t most = (size_t)(records->end - records->at) / 2 + records->n_cells + 1; /* a cell and its comma: 2 bytes */
    most = most > records->max_cells ? records->max_cells : most;
    size_t capacity = records->capacity ? 2 * records->capacity : FIRST_CAPACITY;
    records->capacity = capacity > most ? most : capacity;
    if (records->capacity <= records->n_cells ||
        PyByteArray_Resize(records->owner, (Py_ssize_t)(records->capacity * sizeof(double))) < 0) {
        return -1;
    }
    records->cells = (double *)(void *)PyByteArray_AsString(records->owner);
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
read_text(Records *records, size_t index, double *cell)
{
    Column *column = records->columns + index;
    const char *text = records->at + 1, *quote = find_quote(text, records->end);
    if (quote == NULL || settle_kind(column, 's') < 0) {
        return -1;
    }
    if (column->texts == NULL && (column->texts = PyList_New(0)) == NULL) {
        return -1;
    }
    Py_ssize_t code = code_of(&records->texts, text, (size_t)(quote - text), index, column->texts);
    records->at = quote + 1;
    *cell = (double)code;
    return code < 0 ? -1 : 0;
}

/* true, false or null. */
static int
read_word(Records *records, Column *column, double *cell)
{
    const char *at = records->at;
    if (strncmp(at, "null", 4) == 0) { /* the body ends with a NUL, which is in no word */
        records->at += 4;
        records->n_missing++;
        *cell = NAN;
        return 0;
    }
    int is_true = strncmp(at, "true", 4) == 0;
    if (!is_true && strncmp(at, "false", 5) != 0) {
        return -1;
    }
    records->at += is_true ? 4 : 5;
    *cell = is_true;
    return settle_kind(column, 'b');
}

/* 0; -1 if it is none of ours, or with an error. */
static inline int
read_cell(Records *records, size_t index)
{
    if (records->n_cells == records->capacity && grow(records) < 0) {
        return -1;
    }
    double *cell = records->cells + records->n_cells++;
    Column *column = records->columns + index;
    if (*records->at == '-' || is_digit(*records->at)) {
        int is_whole;
        if (read_any_number(&records->at, records->end, cell, &is_whole) < 0) {
            return -1;
        }
        column->has_parts |= !is_whole;
        return settle_kind(column, 'n');
    }
    return *records->at == '"' ? read_text(records, index, cell) : read_word(records, column, cell);
}

/* From behind a key to the cell. */
static int
skip_colon(Records *records)
{
    records->at = skip_space(records, records->at);
    if (*records->at != ':') {
        return -1;
    }
    records->at = skip_space(records, records->at + 1);
    return 0;
}

static int
add_column(Records *records)
{
    if (records->n_columns == records->columns_capacity) {
        size_t capacity = records->columns_capacity ? 2 * records->columns_capacity : FIRST_COLUMNS;
        Column *columns = PyMem_Realloc(records->columns, capacity * sizeof *columns);
        if (columns == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        records->columns = columns;
        records->columns_capacity = capacity;
    }
    memset(records->columns + records->n_columns, 0, sizeof(Column));
    records->n_columns++;
    return 0;
}

/* A record from behind its "{" to behind its "}", which tells how the others look. */
static int
read_first(Records *records)
{
    for (;;) {
        const char *lead = records->at;
        if (records->n_columns > 0 && *records->at++ != ',') {
            return -1;
        }
        records->at = skip_space(records, records->at);
        const char *key = records->at, *quote = *key == '"' ? find_quote(key + 1, records->end) : NULL;
        if (quote == NULL || add_column(records) < 0) {
            return -1;
        }
        records->at = quote + 1;
        Column *column = records->columns + records->n_columns - 1;
        column->key = key;
        column->n_key_bytes = (size_t)(records->at - key);
        if (skip_colon(records) < 0) {
            return -1;
        }
        column->lead = lead;
        column->n_lead_bytes = (size_t)(records->at - lead);
        if (read_cell(records, records->n_columns - 1) < 0) {
            return -1;
        }
        records->at = skip_space(records, records->at);
        if (*records->at == '}') {
            records->at++;
            return 0;
        }
    }
}

static inline int
skip_bytes(Records *records, const char *bytes, size_t n_bytes)
{
    if ((size_t)(records->end - records->at) < n_bytes || memcmp(records->at, bytes, n_bytes) != 0) {
        return -1;
    }
    records->at += n_bytes;
    return 0;
}

/* A record like the first. Most have their spaces where it has them, too. */
static int
read_next(Records *records)
{
    for (size_t index = 0; index < records->n_columns; index++) {
        const Column *column = records->columns + index;
        if (skip_bytes(records, column->lead, column->n_lead_bytes) < 0) {
            if (index > 0 && *records->at++ != ',') {
                return -1;
            }
            records->at = skip_space(records, records->at);
            if (skip_bytes(records, column->key, column->n_key_bytes) < 0 || skip_colon(records) < 0) {
                return -1;
            }
        } else {
            records->at = skip_space(records, records->at); /* there may be more of them */
        }
        if (read_cell(records, index) < 0) {
            return -1;
        }
        if (*records->at != ',') {
            records->at = skip_space(records, records->at);
        }
    }
    return *records->at++ == '}' ? 0 : -1;
}

static int
read_record(Records *records)
{
    if (*records->at++ != '{' || (records->n_rows == 0 ? read_first(records) : read_next(records)) < 0) {
        return -1;
    }
    records->n_rows++;
    return 0;
}

static int
read_lines(Records *records)
{
    records->at = skip_lines(records->at);
    do {
        if (read_record(records) < 0) {
            return -1;
        }
        const char *end = skip_space(records, records->at);
        records->at = skip_lines(end);
        if (records->at != records->end && *end != '\n') {
            return -1;
        }
    } while (records->at != records->end);
    return 0;
}

static int
read_list(Records *records)
{
    if (*records->at++ != '[') {
        return -1;
    }
    do {
        records->at = skip_space(records, records->at);
        if (read_record(records) < 0) {
            return -1;
        }
        records->at = skip_space(records, records->at);
    } while (*records->at++ == ',');
    return records->at[-1] == ']' ? 0 : -1;
}

static int
read_body(Records *records)
{
    static const char *KEYS[] = {"\"instances\"", "\"inputs\"", "\"dataframe_records\""};
    records->at = skip_space(records, records->at);
    int is_object = *records->at == '{', is_ours = !is_object;
    if (is_object) {
        records->at = skip_space(records, records->at + 1);
        for (size_t index = 0; !is_ours && index < sizeof KEYS / sizeof *KEYS; index++) {
            is_ours = skip_bytes(records, KEYS[index], strlen(KEYS[index])) == 0;
        }
        if (!is_ours || skip_colon(records) < 0) {
            return -1;
        }
    }
    if (read_list(records) < 0) {
        return -1;
    }
    records->at = skip_space(records, records->at);
    if (is_object) {
        if (*records->at++ != '}') {
            return -1;
        }
        records->at = skip_space(records, records->at);
    }
    return records->at == records->end ? 0 : -1;
}

/* Names, kinds and texts of the columns. NULL with an error. */
static PyObject *
answer(Records *records)
{
    Py_ssize_t n_columns = (Py_ssize_t)records->n_columns;
    PyObject *names = PyTuple_New(n_columns), *texts = PyTuple_New(n_columns), *result = NULL;
    char *kinds = PyMem_Malloc(records->n_columns);
    int fits = names != NULL && texts != NULL &&
               PyByteArray_Resize(records->owner, (Py_ssize_t)(records->n_cells * sizeof(double))) == 0;
    if (kinds == NULL) {
        PyErr_NoMemory();
        fits = 0;
    }
    for (Py_ssize_t index = 0; fits && index < n_columns; index++) {
        const Column *column = records->columns + index;
        PyObject *name = PyUnicode_DecodeUTF8(column->key + 1, (Py_ssize_t)column->n_key_bytes - 2, NULL);
        PyObject *made = Py_NewRef(column->texts == NULL ? Py_None : column->texts);
        kinds[index] = column->kind == 'n' ? (column->has_parts ? 'f' : 'i') : column->kind ? column->kind : '-';
        fits = PyTuple_SetItem(texts, index, made) == 0 && name != NULL && PyTuple_SetItem(names, index, name) == 0;
    }
    if (fits) {
        result = Py_BuildValue("(Os#nnOO)", names, kinds, n_columns, (Py_ssize_t)records->n_rows,
                               (Py_ssize_t)records->n_missing, records->owner, texts);
    }
    PyMem_Free(kinds);
    Py_XDECREF(names);
    Py_XDECREF(texts);
    return result;
}

static void
release(Records *records)
{
    for (size_t index = 0; index < records->n_columns; index++) {
        Py_XDECREF(records->columns[index].texts);
    }
    PyMem_Free(records->columns);
    PyMem_Free(records->texts.places);
    Py_XDECREF(records->owner);
}

PyObject *
read_records(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 3 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_records takes the body, as bytes, the most cells, and if it is lines.");
        return NULL;
    }
    Py_ssize_t max_cells = PyLong_AsSsize_t(args[1]);
    int is_lines = PyObject_IsTrue(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Records records = {.at = PyBytes_AsString(args[0]), .is_lines = is_lines};
    records.end = records.at + PyBytes_Size(args[0]);
    records.max_cells = max_cells < 0 ? 0 : (size_t)max_cells;
    records.owner = PyByteArray_FromStringAndSize(NULL, 0);
    PyObject *result = NULL;
    if (records.owner != NULL && (is_lines ? read_lines(&records) : read_body(&records)) == 0) {
        result = answer(&records);
    }
    if (result == NULL && (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))) {
        PyErr_Clear();
        result = Py_NewRef(Py_None);
    }
    release(&records);
    return result;
}
