/* The cells of a JSON body under the keys "data", or under all keys, or of its rows, apart from the rest of the body,
 * which is short.
 *
 * It takes a body in which "data" stands as a key before lists of cells (numbers, texts, truths, nulls): columns of one
 * length; or once, before a list of such lists: rows. A column holds numbers, texts or truths, and nulls among them.
 * By any key, it takes a body in which all lists behind keys are columns, and no other list stands.
 * Of rows, it takes a body that is a list, or in which one stands behind "instances" or "inputs".
 * In the rest an empty list stands in the place of each, and in that of a list of numbers and texts, one for each row,
 * under "index" beside "data", which are not kept. Of anything else it says nothing (None).
 */
#include "_frames.h"

#include "_json_cells.h"
#include "_rest.h"

enum { DATA, ANY_KEY, ROWS, N_FORMS };

typedef struct {
    Cells cells;
    Rest rest;
    int form, are_rows;
    size_t n_rows, n_passed; /* cells that were not kept */
} Frame;

/* From a "[" on: the first cell. 0, or -1. */
static int
open_list(Cells *cells)
{
    if (*cells->at != '[') {
        return -1;
    }
    cells->at = skip_blanks(cells->at + 1);
    return 0;
}

/* From behind a cell: to the next one, 1, or behind the list, 0; -1 if it is neither. */
static inline int
go_on(Cells *cells)
{
    cells->at = skip_blanks(cells->at);
    char byte = *cells->at;
    if (byte == ']') {
        cells->at++;
        return 0;
    }
    cells->at = byte == ',' ? skip_blanks(cells->at + 1) : cells->at;
    return byte == ',' ? 1 : -1;
}

/* From the first cell to behind the "]". 0, or -1. */
static int
read_column(Frame *frame)
{
    Cells *cells = &frame->cells;
    if (add_column(cells) < 0) {
        return -1;
    }
    size_t index = cells->n_columns - 1, n_before = cells->n_cells;
    int more;
    do {
        if (read_cell(cells, index) < 0 || (more = go_on(cells)) < 0) {
            return -1;
        }
    } while (more);
    size_t n_rows = cells->n_cells - n_before;
    if (index == 0) {
        frame->n_rows = n_rows;
    }
    return n_rows == frame->n_rows ? 0 : -1;
}

/* From the first row to behind the "]". 0, or -1. */
static int
read_rows(Frame *frame)
{
    Cells *cells = &frame->cells;
    int more_rows, more;
    do {
        if (open_list(cells) < 0) {
            return -1;
        }
        size_t index = 0;
        do {
            if (index == cells->n_columns && (frame->n_rows > 0 || add_column(cells) < 0)) {
                return -1;
            }
            if (read_cell(cells, index++) < 0 || (more = go_on(cells)) < 0) {
                return -1;
            }
        } while (more);
        if (index != cells->n_columns || (more_rows = go_on(cells)) < 0) {
            return -1;
        }
        frame->n_rows++;
    } while (more_rows);
    return 0;
}

static int
take_data(Frame *frame)
{
    Cells *cells = &frame->cells;
    cells->at = frame->rest.at;
    if (frame->are_rows || open_list(cells) < 0) {
        return -1;
    }
    if (*cells->at == '[' && frame->form != ANY_KEY) {
        frame->are_rows = 1;
        return cells->n_columns > 0 || read_rows(frame) < 0 ? -1 : cut_list(&frame->rest, cells->at);
    }
    return read_column(frame) < 0 ? -1 : cut_list(&frame->rest, cells->at);
}

/* Whether a text with escapes is none of JSON's. */
static int
is_no_text(const char *text, const char *quote)
{
    PyObject *made = quote == NULL ? NULL : of_escaped(text, quote - text);
    Py_XDECREF(made);
    return made == NULL;
}

/* A list of numbers and texts is passed over; anything else may stand there, too, and stays. 0, or -1. */
static int
pass_index(Frame *frame)
{
    Cells *cells = &frame->cells;
    cells->at = frame->rest.at;
    if (open_list(cells) < 0) {
        return 0;
    }
    int more;
    do {
        double number;
        int is_whole, has_escapes = 0;
        const char *quote = *cells->at == '"' ? find_quote(cells->at + 1, cells->end, &has_escapes) : NULL;
        if (has_escapes && is_no_text(cells->at + 1, quote)) {
            return -1;
        }
        if (quote != NULL) {
            cells->at = quote + 1;
        } else if (read_any_number(&cells->at, cells->end, &number, &is_whole) < 0) {
            return -1;
        }
        frame->n_passed++;
        more = go_on(cells);
    } while (more == 1);
    return more < 0 ? -1 : cut_list(&frame->rest, cells->at);
}

/* A body that is a list. 0, or -1. */
static int
read_list(Frame *frame, const char *at)
{
    Rest *rest = &frame->rest;
    rest->at = at;
    return take_data(frame) < 0 ? -1 : keep(rest, rest->at, rest->end);
}

/* Up to the body's end, or to -1: it is none of ours, or with an error. */
static int
read_body(Frame *frame)
{
    static const char *const KEYS[N_FORMS][2] = {[DATA] = {"data", "index"}, [ROWS] = {"instances", "inputs"}};
    const char *at = skip_blanks(frame->rest.at);
    int found = 0, n_keys = frame->form == ANY_KEY ? 0 : 2;
    if (frame->form == ROWS && *at == '[') {
        found = read_list(frame, at);
    } else {
        while ((found = find_key(&frame->rest, KEYS[frame->form], n_keys)) > 0) {
            if ((found == 2 && frame->form == DATA ? pass_index(frame) : take_data(frame)) < 0) {
                return -1;
            }
        }
    }
    int is_index = frame->n_passed == 0 || frame->n_passed == frame->n_rows;
    return found == 0 && frame->n_rows > 0 && is_index ? 0 : -1;
}

static PyObject *
answer(Frame *frame)
{
    Cells *cells = &frame->cells;
    PyObject *kinds, *texts, *result = NULL;
    if (describe(cells, &kinds, &texts) < 0) {
        return NULL;
    }
    PyObject *id = id_of(&frame->rest);
    if (id != NULL) {
        result = Py_BuildValue("(y#OOnOnOO)", frame->rest.bytes, (Py_ssize_t)frame->rest.n_bytes, id,
                               frame->are_rows ? Py_True : Py_False, (Py_ssize_t)frame->n_rows, kinds,
                               (Py_ssize_t)cells->n_missing, cells->owner, texts);
    }
    Py_XDECREF(id);
    Py_DECREF(kinds);
    Py_DECREF(texts);
    return result;
}

PyObject *
read_frame(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    long form = n_args == 3 && PyBytes_Check(args[0]) ? PyLong_AsLong(args[2]) : -1;
    if (form < 0 || form >= N_FORMS) {
        PyErr_SetString(PyExc_TypeError, "read_frame takes the body, as bytes, the most cells, and the form's number.");
        return NULL;
    }
    Frame frame;
    frame.form = (int)form;
    frame.are_rows = 0;
    frame.n_rows = frame.n_passed = 0;
    PyObject *result = NULL;
    if (open_cells(&frame.cells, args[0], args[1]) == 0) {
        open_rest(&frame.rest, frame.cells.at, frame.cells.end, MAX_REST);
        result = read_body(&frame) == 0 ? answer(&frame) : NULL;
        result = result == NULL ? give_up() : result;
    }
    close_cells(&frame.cells);
    return result;
}
