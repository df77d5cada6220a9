/* An Arrow stream of one batch of numbers of one type, of which none is missing: where in the body they stand.
 *
 * Rules of this room:
 * 1. It takes a schema, one batch, and the end; uncompressed columns of integers or floats, all of one type, each
 *    as far behind the one before. Of anything else it says nothing (None): Arrow's own reader answers it, or says
 *    what is wrong.
 * 2. Nothing is believed. Of the flatbuffers it looks at each part that Arrow verifies, and wants it within its
 *    message and aligned; what it has no use for may not be there.
 *
 * Sources: https://arrow.apache.org/docs/format/Columnar.html ("Encapsulated message format"); format/Message.fbs and
 * format/Schema.fbs of Apache Arrow; https://flatbuffers.dev/internals/.
 */
#include "_arrow.h"

#include "_arrow_batch.h"

typedef struct {
    Stream stream;
    size_t begin, step, n_rows, width;
    char kind; /* f, i or u: numpy's */
    PyObject *names;
} Numbers;

/* Settle of what type all columns are. 0, or -1 if that is none, or not of one type with those before. */
static int
settle_type(Numbers *numbers, const Table *field)
{
    Table of_type = read_table(field, FIELD_TYPE);
    uint64_t width;
    char kind = kind_of_number(read_field(field, FIELD_KIND, 1), &of_type, &width);
    int is_other = numbers->width != 0 && (numbers->width != width || numbers->kind != kind);
    if (field->message->is_broken || width == 0 || is_other) {
        return -1;
    }
    numbers->kind = kind;
    numbers->width = width;
    return 0;
}

/* Note the name of a column. 0, or -1 if the column is not ours, or with an error. */
static int
read_column(Numbers *numbers, const Table *field, size_t index)
{
    refuse_if_there(field, FIELD_DICTIONARY);
    if (!is_plain_field(field) || settle_type(numbers, field) < 0) {
        return -1;
    }
    return note_name(numbers->names, field, index);
}

static int
read_schema(Numbers *numbers)
{
    Message message;
    size_t n_columns, fields = read_fields(&numbers->stream, &message, &n_columns);
    if (fields == 0) {
        return -1;
    }
    numbers->names = PyTuple_New((Py_ssize_t)n_columns);
    if (numbers->names == NULL) {
        return -1;
    }
    for (size_t index = 0; index < n_columns; index++) {
        Table field = read_element(&message, fields, index);
        if (read_column(numbers, &field, index) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A column of the batch: its node says that none is missing, its second buffer holds it. */
static int
place_column(Numbers *numbers, Batch *batch, size_t index)
{
    Piece validity, cells;
    size_t n_bytes = numbers->n_rows * numbers->width;
    if (take_validity(batch, index, &validity) < 0 || validity.bytes != NULL ||
        take_piece(batch, n_bytes, &cells) < 0) {
        return -1;
    }
    size_t begin = (size_t)(cells.bytes - numbers->stream.body);
    if (index == 0) {
        numbers->begin = begin;
        numbers->step = n_bytes;
        return 0;
    }
    if (index == 1 && begin > numbers->begin) {
        numbers->step = begin - numbers->begin;
    }
    return numbers->step >= n_bytes && begin == numbers->begin + index * numbers->step ? 0 : -1;
}

static int
read_batch(Numbers *numbers, uint64_t max_bytes)
{
    Message message;
    Table header;
    Batch batch;
    size_t n_body_bytes, n_columns = (size_t)PyTuple_Size(numbers->names);
    if (next_message(&numbers->stream, &message, &header, &n_body_bytes) != BATCH ||
        open_batch(&batch, &header, &numbers->stream, n_body_bytes, &max_bytes) < 0) {
        return -1;
    }
    if (batch.n_rows == 0 || batch.n_rows > n_body_bytes / numbers->width || batch.n_nodes != n_columns ||
        batch.n_buffers != 2 * n_columns) {
        return -1;
    }
    numbers->n_rows = batch.n_rows;
    for (size_t index = 0; index < n_columns; index++) {
        if (place_column(numbers, &batch, index) < 0) {
            return -1;
        }
    }
    numbers->stream.at += n_body_bytes;
    return 0;
}

PyObject *
find_numbers(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "find_numbers takes the body, as bytes, and the most bytes of all columns.");
        return NULL;
    }
    Py_ssize_t max_bytes = PyLong_AsSsize_t(args[1]);
    if (max_bytes == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const uint16_t one = 1;
    Numbers numbers = {.stream = {PyBytes_AsString(args[0]), (size_t)PyBytes_Size(args[0]), 0}};
    PyObject *result = NULL;
    if (*(const char *)&one == 1 && max_bytes >= 0 && read_schema(&numbers) == 0 &&
        read_batch(&numbers, (uint64_t)max_bytes) == 0 && read_end(&numbers.stream) == 0) {
        const char dtype[] = {'<', numbers.kind, (char)('0' + numbers.width), 0};
        result = Py_BuildValue("(Osnnn)", numbers.names, dtype, (Py_ssize_t)numbers.n_rows, (Py_ssize_t)numbers.begin,
                               (Py_ssize_t)numbers.step);
    } else if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear(); /* of a name that is no UTF-8 */
        result = Py_NewRef(Py_None);
    }
    Py_XDECREF(numbers.names);
    return result;
}
