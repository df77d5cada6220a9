/* JSON records whose keys stand in one order, and whose cells are numbers, texts, truths or null, in one pass.
 *
 * Rules of this room:
 * 1. It takes [{...}, ...], that as the only value of an object under "instances", "inputs" or "dataframe_records",
 *    and lines of {...}: at least one record of at least one cell. Each has the keys of the first, written alike and
 *    in its order. A column holds numbers, texts or truths, and nulls among them. Of anything else it says nothing
 *    (None): the general reader answers it, or says what is wrong.
 * 2. What it takes is JSON to the letter (RFC 8259), and means what Python's json reads in it.
 */
#include "_records.h"

#include "_blanks.h"
#include "_json_cells.h"

typedef struct {
    Cells cells;
    int is_lines;
    size_t n_rows;
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

/* From behind a key to the cell. */
static int
skip_colon(Records *records)
{
    records->cells.at = skip_space(records, records->cells.at);
    if (*records->cells.at != ':') {
        return -1;
    }
    records->cells.at = skip_space(records, records->cells.at + 1);
    return 0;
}

/* A record from behind its "{" to behind its "}", which tells how the others look. */
static int
read_first(Records *records)
{
    for (;;) {
        const char *lead = records->cells.at;
        if (records->cells.n_columns > 0 && *records->cells.at++ != ',') {
            return -1;
        }
        records->cells.at = skip_space(records, records->cells.at);
        const char *key = records->cells.at, *end = records->cells.end;
        int has_escapes;
        const char *quote = *key == '"' ? find_quote(key + 1, end, &has_escapes) : NULL;
        if (quote == NULL || add_column(&records->cells) < 0) {
            return -1;
        }
        records->cells.at = quote + 1;
        Column *column = records->cells.columns + records->cells.n_columns - 1;
        column->key = key;
        column->n_key_bytes = (size_t)(records->cells.at - key);
        column->make_name = has_escapes ? of_escaped : of_utf8;
        if (skip_colon(records) < 0) {
            return -1;
        }
        column->lead = lead;
        column->n_lead_bytes = (size_t)(records->cells.at - lead);
        if (read_cell(&records->cells, records->cells.n_columns - 1) < 0) {
            return -1;
        }
        records->cells.at = skip_space(records, records->cells.at);
        if (*records->cells.at == '}') {
            records->cells.at++;
            return 0;
        }
    }
}

static inline int
skip_bytes(Cells *cells, const char *bytes, size_t n_bytes)
{
    if ((size_t)(cells->end - cells->at) < n_bytes || memcmp(cells->at, bytes, n_bytes) != 0) {
        return -1;
    }
    cells->at += n_bytes;
    return 0;
}

/* A record like the first. Most have their spaces where it has them, too. */
static int
read_next(Records *records)
{
    for (size_t index = 0; index < records->cells.n_columns; index++) {
        const Column *column = records->cells.columns + index;
        if (skip_bytes(&records->cells, column->lead, column->n_lead_bytes) < 0) {
            if (index > 0 && *records->cells.at++ != ',') {
                return -1;
            }
            records->cells.at = skip_space(records, records->cells.at);
            if (skip_bytes(&records->cells, column->key, column->n_key_bytes) < 0 || skip_colon(records) < 0) {
                return -1;
            }
        } else {
            records->cells.at = skip_space(records, records->cells.at); /* there may be more of them */
        }
        if (read_cell(&records->cells, index) < 0) {
            return -1;
        }
        if (*records->cells.at != ',') {
            records->cells.at = skip_space(records, records->cells.at);
        }
    }
    return *records->cells.at++ == '}' ? 0 : -1;
}

static int
read_record(Records *records)
{
    if (*records->cells.at++ != '{' || (records->n_rows == 0 ? read_first(records) : read_next(records)) < 0) {
        return -1;
    }
    records->n_rows++;
    return 0;
}

static int
read_lines(Records *records)
{
    records->cells.at = skip_blanks(records->cells.at);
    do {
        if (read_record(records) < 0) {
            return -1;
        }
        const char *end = skip_space(records, records->cells.at);
        records->cells.at = skip_blanks(end);
        if (records->cells.at != records->cells.end && *end != '\n') {
            return -1;
        }
    } while (records->cells.at != records->cells.end);
    return 0;
}

static int
read_list(Records *records)
{
    if (*records->cells.at++ != '[') {
        return -1;
    }
    do {
        records->cells.at = skip_space(records, records->cells.at);
        if (read_record(records) < 0) {
            return -1;
        }
        records->cells.at = skip_space(records, records->cells.at);
    } while (*records->cells.at++ == ',');
    return records->cells.at[-1] == ']' ? 0 : -1;
}

static int
read_body(Records *records)
{
    static const char *KEYS[] = {"\"instances\"", "\"inputs\"", "\"dataframe_records\""};
    records->cells.at = skip_space(records, records->cells.at);
    int is_object = *records->cells.at == '{', is_ours = !is_object;
    if (is_object) {
        records->cells.at = skip_space(records, records->cells.at + 1);
        for (size_t index = 0; !is_ours && index < sizeof KEYS / sizeof *KEYS; index++) {
            is_ours = skip_bytes(&records->cells, KEYS[index], strlen(KEYS[index])) == 0;
        }
        if (!is_ours || skip_colon(records) < 0) {
            return -1;
        }
    }
    if (read_list(records) < 0) {
        return -1;
    }
    records->cells.at = skip_space(records, records->cells.at);
    if (is_object) {
        if (*records->cells.at++ != '}') {
            return -1;
        }
        records->cells.at = skip_space(records, records->cells.at);
    }
    return records->cells.at == records->cells.end ? 0 : -1;
}

/* Names, kinds and texts of the columns. NULL with an error. */
static PyObject *
answer(Records *records)
{
    Cells *cells = &records->cells;
    PyObject *kinds, *texts, *names, *result = NULL;
    if (describe(cells, &kinds, &texts) < 0) {
        return NULL;
    }
    int fits = (names = PyTuple_New((Py_ssize_t)cells->n_columns)) != NULL;
    for (size_t index = 0; fits && index < cells->n_columns; index++) {
        const Column *column = cells->columns + index;
        PyObject *name = column->make_name(column->key + 1, (Py_ssize_t)column->n_key_bytes - 2);
        fits = name != NULL && PyTuple_SetItem(names, (Py_ssize_t)index, name) == 0;
    }
    if (fits) {
        result = Py_BuildValue("(OOnnOO)", names, kinds, (Py_ssize_t)records->n_rows, (Py_ssize_t)cells->n_missing,
                               cells->owner, texts);
    }
    Py_XDECREF(names);
    Py_DECREF(kinds);
    Py_DECREF(texts);
    return result;
}

PyObject *
read_records(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 3 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_records takes the body, as bytes, the most cells, and if it is lines.");
        return NULL;
    }
    Records records = {.is_lines = PyObject_IsTrue(args[2])};
    PyObject *result = NULL;
    if (records.is_lines >= 0 && open_cells(&records.cells, args[0], args[1]) == 0) {
        int is_ours = (records.is_lines ? read_lines(&records) : read_body(&records)) == 0;
        result = is_ours ? answer(&records) : NULL;
        result = result == NULL ? give_up() : result;
    }
    close_cells(&records.cells);
    return result;
}
