/* An Arrow stream of one batch, some of whose columns are texts: read into one array, as records are.
 *
 * Rules of this room:
 * 1. It takes uncompressed columns of numbers and of UTF-8, which may stand apart in a dictionary, and may be missing.
 *    Whole numbers that a double does not hold, half floats, and all other types are not its own: of them it says
 *    nothing (None), and Arrow's own reader answers, or says what is wrong.
 * 2. Nothing is believed: besides what _arrow_messages.h sees to, offsets, codes, UTF-8 and the number of missing
 *    cells are checked.
 * 3. A text is made once per column.
 *
 * Sources: as _arrow_messages.h; https://arrow.apache.org/docs/format/Columnar.html ("Variable-size Binary Layout",
 * "Dictionary-encoded Layout", "Validity bitmaps").
 */
#include "_arrow_cells.h"

#include <math.h>

#include "_arrow_batch.h"
#include "_texts.h"

#define LARGEST_WHOLE 9007199254740992.0 /* 2**53 */
#define MOST_COLUMNS 65536
#define CELL_BYTES (sizeof(double) + 1) /* where Arrow reads it, it says of each besides whether it is missing */

enum { ENCODING_ID, ENCODING_INDEX, ENCODING_ORDERED, ENCODING_KIND };     /* DictionaryEncoding */
enum { DICTIONARY_ID, DICTIONARY_DATA, DICTIONARY_DELTA };                 /* DictionaryBatch */

typedef struct {
    char kind;            /* of the numbers, or of the codes: f, i or u; 0: plain texts */
    uint64_t width;       /* bytes of such a number, or of an offset */
    int is_coded;
    uint64_t id, offset_width; /* of the dictionary */
    PyObject *texts;      /* a list; NULL: the column holds numbers */
    Py_ssize_t n_texts;   /* of a dictionary that has come */
} Column;

typedef struct {
    Stream stream;
    Column *columns;
    size_t n_columns, n_rows, n_missing;
    uint64_t bytes_left, texts_left;
    Texts known;
    double *cells;
    PyObject *names, *owner;
} Reading;

/* Schema ---------------------------------------------------------------------------------- */

/* Of a column whose texts stand in a dictionary. 0, or -1. */
static int
read_encoding(Column *column, const Table *field)
{
    Table encoding = read_table(field, FIELD_DICTIONARY);
    Table index = read_table(&encoding, ENCODING_INDEX);
    column->id = read_field(&encoding, ENCODING_ID, 8);
    find_field(&encoding, ENCODING_ORDERED, 1);
    column->is_coded = 1;
    column->offset_width = column->width;
    column->kind = kind_of_number(INT, &index, &column->width);
    return read_field(&encoding, ENCODING_KIND, 2) != 0 || column->width == 0 || field->message->is_broken ? -1 : 0;
}

/* 0, or -1 if the column is not ours, or with an error. */
static int
read_type(Column *column, const Table *field)
{
    uint64_t type = read_field(field, FIELD_KIND, 1);
    Table of_type = read_table(field, FIELD_TYPE);
    size_t at = find_field(field, FIELD_DICTIONARY, 4);
    if (type != UTF8 && type != LARGE_UTF8) {
        column->kind = kind_of_number(type, &of_type, &column->width);
        return field->message->is_broken || at != 0 || column->width < (column->kind == 'f' ? 4 : 1) ? -1 : 0;
    }
    column->width = type == UTF8 ? 4 : 8;
    column->texts = PyList_New(0);
    return column->texts == NULL || field->message->is_broken ? -1 : at == 0 ? 0 : read_encoding(column, field);
}

static int
read_column(Reading *reading, const Table *field, size_t index)
{
    if (!is_plain_field(field) || read_type(reading->columns + index, field) < 0) {
        return -1;
    }
    return note_name(reading->names, field, index);
}

static int
read_schema(Reading *reading)
{
    Message message;
    size_t n_columns, fields = read_fields(&reading->stream, &message, &n_columns);
    if (fields == 0 || n_columns > MOST_COLUMNS) {
        return -1;
    }
    reading->names = PyTuple_New((Py_ssize_t)n_columns);
    reading->columns = PyMem_Calloc(n_columns, sizeof *reading->columns);
    if (reading->names == NULL || reading->columns == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    reading->n_columns = n_columns;
    int has_texts = 0;
    for (size_t index = 0; index < n_columns; index++) {
        Table field = read_element(&message, fields, index);
        if (read_column(reading, &field, index) < 0) {
            return -1;
        }
        has_texts |= reading->columns[index].texts != NULL;
    }
    return has_texts ? 0 : -1;
}

/* Batches --------------------------------------------------------------------------------- */

/* Make the texts of a dictionary that is for one column. 0, or -1. */
static int
read_dictionary(Reading *reading, Table *header, size_t n_body_bytes)
{
    Table data = read_table(header, DICTIONARY_DATA);
    uint64_t id = read_field(header, DICTIONARY_ID, 8);
    Column *column = NULL;
    for (size_t index = 0; index < reading->n_columns; index++) {
        Column *candidate = reading->columns + index;
        if (candidate->is_coded && candidate->id == id) {
            if (column != NULL) {
                return -1; /* two columns share it */
            }
            column = candidate;
        }
    }
    Batch batch;
    Piece bits, offsets, bytes;
    if (read_field(header, DICTIONARY_DELTA, 1) != 0 || column == NULL || column->n_texts != 0 ||
        open_batch(&batch, &data, &reading->stream, n_body_bytes, &reading->bytes_left) < 0 ||
        batch.n_nodes != 1 || batch.n_buffers != 3 || batch.n_rows == 0 || batch.n_rows > reading->texts_left ||
        take_validity(&batch, 0, &bits) < 0 || bits.bytes != NULL ||
        take_offsets(&batch, column->offset_width, &offsets, &bytes) < 0) {
        return -1;
    }
    reading->texts_left -= batch.n_rows;
    for (size_t row = 0; row < batch.n_rows; row++) {
        const char *text;
        size_t length;
        PyObject *made = take_text(&offsets, &bytes, column->offset_width, row, &text, &length) < 0
                             ? NULL
                             : PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, NULL);
        int result = made == NULL ? -1 : PyList_Append(column->texts, made);
        Py_XDECREF(made);
        if (result < 0) {
            return -1;
        }
    }
    column->n_texts = (Py_ssize_t)batch.n_rows;
    reading->stream.at += n_body_bytes;
    return 0;
}

/* Columns --------------------------------------------------------------------------------- */

#define READ_NUMBERS(type)                                                                                             \
    for (size_t row = 0; row < n_rows; row++) {                                                                        \
        type value;                                                                                                    \
        memcpy(&value, from + row * sizeof value, sizeof value);                                                       \
        cells[row] = (double)value;                                                                                    \
    }                                                                                                                  \
    break

/* Numbers as doubles; those of 64 bits may be rounded. */
static void
widen(const char *from, char kind, uint64_t width, size_t n_rows, double *cells)
{
    switch (kind * 16 + (int)width) {
    case 'f' * 16 + 8: READ_NUMBERS(double);
    case 'f' * 16 + 4: READ_NUMBERS(float);
    case 'i' * 16 + 8: READ_NUMBERS(int64_t);
    case 'i' * 16 + 4: READ_NUMBERS(int32_t);
    case 'i' * 16 + 2: READ_NUMBERS(int16_t);
    case 'i' * 16 + 1: READ_NUMBERS(int8_t);
    case 'u' * 16 + 8: READ_NUMBERS(uint64_t);
    case 'u' * 16 + 4: READ_NUMBERS(uint32_t);
    case 'u' * 16 + 2: READ_NUMBERS(uint16_t);
    default: READ_NUMBERS(uint8_t);
    }
}

/* Numbers, or codes below a limit. 0, or -1. */
static int
read_numbers(Reading *reading, Batch *batch, const Column *column, const Piece *bits, double *cells)
{
    Piece numbers;
    if ((column->is_coded && column->n_texts == 0) ||
        take_piece(batch, reading->n_rows * column->width, &numbers) < 0) {
        return -1;
    }
    widen(numbers.bytes, column->kind, column->width, reading->n_rows, cells);
    size_t n_missing = 0, n_wrong = 0;
    double least = column->is_coded ? -0.5 : -LARGEST_WHOLE;
    double most = column->is_coded ? (double)column->n_texts - 0.5 : LARGEST_WHOLE;
    int has_limits = column->kind != 'f' && (column->width == 8 || column->is_coded);
    for (size_t row = 0; row < reading->n_rows; row++) {
        if (is_missing(bits, row)) {
            cells[row] = NAN;
        }
        n_missing += cells[row] != cells[row];
        n_wrong += has_limits && (cells[row] <= least || cells[row] >= most);
    }
    reading->n_missing += n_missing;
    return n_wrong ? -1 : 0;
}

static int
read_texts(Reading *reading, Batch *batch, Column *column, size_t index, const Piece *bits, double *cells)
{
    Piece offsets, data;
    if (take_offsets(batch, column->width, &offsets, &data) < 0) {
        return -1;
    }
    for (size_t row = 0; row < reading->n_rows; row++) {
        const char *text;
        size_t length;
        int is_absent = is_missing(bits, row);
        if (take_text(&offsets, &data, column->width, row, &text, &length) < 0 || (is_absent && length != 0)) {
            return -1; /* bytes of a text that is missing may be anything, but UTF-8 */
        }
        Py_ssize_t code = is_absent ? 0 : code_of(&reading->known, text, length, index, column->texts, of_utf8);
        if (code < 0) {
            return -1;
        }
        cells[row] = is_absent ? NAN : (double)code;
        reading->n_missing += (size_t)is_absent;
    }
    uint64_t n_made = (uint64_t)PyList_Size(column->texts), n_left = reading->texts_left;
    reading->texts_left = n_made > n_left ? 0 : n_left - n_made;
    return n_made > n_left ? -1 : 0;
}

/* The array that the cells go into; as many as the limits allow. 0, or -1. */
static int
make_cells(Reading *reading, const Batch *batch)
{
    uint64_t n_texts = 0, n_cells = batch->n_rows * reading->n_columns; /* of 2**32 bytes at most, so it does not wrap */
    for (size_t index = 0; index < reading->n_columns; index++) {
        n_texts += reading->columns[index].texts == NULL ? 0 : batch->n_rows;
    }
    if (batch->n_rows == 0 || batch->n_rows > UINT32_MAX || n_texts > reading->texts_left ||
        n_cells > reading->bytes_left / CELL_BYTES) {
        return -1;
    }
    reading->texts_left -= n_texts;
    reading->n_rows = batch->n_rows;
    reading->owner = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(n_cells * sizeof(double)));
    reading->cells = reading->owner == NULL ? NULL : (double *)(void *)PyByteArray_AsString(reading->owner);
    return reading->owner == NULL ? -1 : 0;
}

static int
read_batch(Reading *reading, const Table *header, size_t n_body_bytes)
{
    Batch batch;
    if (open_batch(&batch, header, &reading->stream, n_body_bytes, &reading->bytes_left) < 0 ||
        batch.n_nodes != reading->n_columns || make_cells(reading, &batch) < 0) {
        return -1;
    }
    for (size_t index = 0; index < reading->n_columns; index++) {
        Column *column = reading->columns + index;
        double *cells = reading->cells + index * reading->n_rows;
        Piece bits;
        int result = take_validity(&batch, index, &bits);
        if (result == 0) {
            result = column->kind ? read_numbers(reading, &batch, column, &bits, cells)
                                  : read_texts(reading, &batch, column, index, &bits, cells);
        }
        if (result < 0) {
            return -1;
        }
    }
    reading->stream.at += n_body_bytes;
    return batch.next_buffer == batch.n_buffers ? 0 : -1;
}

static int
read_stream(Reading *reading)
{
    Message message;
    Table header;
    size_t n_body_bytes;
    unsigned kind = read_schema(reading) < 0 ? 0 : DICTIONARY;
    while (kind == DICTIONARY) {
        kind = next_message(&reading->stream, &message, &header, &n_body_bytes);
        if (kind == DICTIONARY && read_dictionary(reading, &header, n_body_bytes) < 0) {
            return -1;
        }
    }
    return kind == BATCH && read_batch(reading, &header, n_body_bytes) == 0 ? read_end(&reading->stream) : -1;
}

/* NULL with an error. */
static PyObject *
answer(const Reading *reading)
{
    Py_ssize_t n_columns = (Py_ssize_t)reading->n_columns;
    PyObject *texts = PyTuple_New(n_columns), *result = NULL;
    char *kinds = PyMem_Malloc(reading->n_columns);
    if (kinds == NULL) {
        PyErr_NoMemory();
    }
    int fits = texts != NULL && kinds != NULL;
    for (Py_ssize_t index = 0; fits && index < n_columns; index++) {
        const Column *column = reading->columns + index;
        kinds[index] = column->texts != NULL ? 's' : column->kind == 'f' ? 'f' : 'i';
        fits = PyTuple_SetItem(texts, index, Py_NewRef(column->texts == NULL ? Py_None : column->texts)) == 0;
    }
    if (fits) {
        result = Py_BuildValue("(Os#nnOO)", reading->names, kinds, n_columns, (Py_ssize_t)reading->n_rows,
                               (Py_ssize_t)reading->n_missing, reading->owner, texts);
    }
    PyMem_Free(kinds);
    Py_XDECREF(texts);
    return result;
}

static void
release(Reading *reading)
{
    for (size_t index = 0; index < reading->n_columns; index++) {
        Py_XDECREF(reading->columns[index].texts);
    }
    PyMem_Free(reading->columns);
    PyMem_Free(reading->known.places);
    Py_XDECREF(reading->names);
    Py_XDECREF(reading->owner);
}

PyObject *
read_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 3 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_columns takes the body, as bytes, the most bytes, and the most texts.");
        return NULL;
    }
    Py_ssize_t max_bytes = PyLong_AsSsize_t(args[1]), max_texts = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    const uint16_t one = 1;
    Reading reading = {.stream = {PyBytes_AsString(args[0]), (size_t)PyBytes_Size(args[0]), 0}};
    reading.bytes_left = max_bytes < 0 ? 0 : (uint64_t)max_bytes;
    reading.texts_left = max_texts < 0 ? 0 : (uint64_t)max_texts;
    PyObject *result = NULL;
    if (*(const char *)&one == 1 && read_stream(&reading) == 0) {
        result = answer(&reading);
    }
    result = result == NULL ? give_up() : result;
    release(&reading);
    return result;
}
