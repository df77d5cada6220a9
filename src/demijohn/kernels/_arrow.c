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

#include <stdint.h>
#include <string.h>

#define VERSION_4 3 /* of Schema.fbs; from 0.8 on, and the numbers of 1.0 stand alike */
#define VERSION_5 4
#define PREFIX_BYTES 8
#define ALIGNMENT 8

enum { SCHEMA = 1, BATCH = 3 };                                                 /* MessageHeader */
enum { MESSAGE_VERSION, MESSAGE_KIND, MESSAGE_HEADER, MESSAGE_BODY, MESSAGE_METADATA };
enum { SCHEMA_ENDIANNESS, SCHEMA_FIELDS, SCHEMA_METADATA, SCHEMA_FEATURES };
enum { FIELD_NAME, FIELD_NULLABLE, FIELD_KIND, FIELD_TYPE, FIELD_DICTIONARY, FIELD_CHILDREN, FIELD_METADATA };
enum { INT = 2, FLOATING_POINT = 3 };                                           /* Type */
enum { BATCH_LENGTH, BATCH_NODES, BATCH_BUFFERS, BATCH_COMPRESSION, BATCH_VARIADIC };

typedef struct {
    const char *bytes;
    size_t size;
    int is_broken; /* or something that is not ours: whatever was read since means nothing */
} Message;

typedef struct {
    Message *message;
    size_t at, vtable, size, vtable_size;
} Table;

typedef struct {
    const char *body;
    size_t size, at, begin, step, n_rows, width;
    char kind; /* f, i or u: numpy's */
    PyObject *names;
} Stream;

/* n_bytes (8 at most) at a place that is known to be within the message. */
static uint64_t
read_bytes(const Message *message, size_t at, size_t n_bytes)
{
    uint64_t value = 0;
    memcpy(&value, message->bytes + at, n_bytes); /* little-endian: see find_numbers */
    return value;
}

static size_t
refuse(Message *message)
{
    message->is_broken = 1;
    return 0;
}

/* Whether so many bytes stand there, and where they may. */
static int
is_within(const Message *message, size_t at, size_t n_bytes, size_t alignment)
{
    return at % alignment == 0 && at <= message->size && n_bytes <= message->size - at;
}

static Table
open_table(Message *message, size_t at)
{
    Table table = {.message = message, .at = at};
    if (message->is_broken || !is_within(message, at, 4, 4)) {
        refuse(message);
        return table;
    }
    int64_t vtable = (int64_t)at - (int32_t)read_bytes(message, at, 4);
    if (vtable < 0 || !is_within(message, (size_t)vtable, 4, 2)) {
        refuse(message);
        return table;
    }
    table.vtable = (size_t)vtable;
    table.vtable_size = read_bytes(message, table.vtable, 2);
    table.size = read_bytes(message, table.vtable + 2, 2);
    if (table.vtable_size < 4 || table.vtable_size % 2 != 0 ||
        !is_within(message, table.vtable, table.vtable_size, 2) || !is_within(message, at, table.size, 4)) {
        refuse(message);
    }
    return table;
}

/* Where a field of so many bytes stands; 0 if it is absent. */
static size_t
find_field(const Table *table, int field, size_t n_bytes)
{
    size_t entry = 4 + 2 * (size_t)field;
    if (table->message->is_broken || entry + 2 > table->vtable_size) {
        return 0;
    }
    size_t offset = read_bytes(table->message, table->vtable + entry, 2);
    if (offset == 0) {
        return 0;
    }
    if (offset < 4 || offset + n_bytes > table->size || (table->at + offset) % n_bytes != 0) {
        return refuse(table->message);
    }
    return table->at + offset;
}

/* A number; 0 is the default of all that are read here. */
static uint64_t
read_field(const Table *table, int field, size_t n_bytes)
{
    size_t at = find_field(table, field, n_bytes);
    return at == 0 ? 0 : read_bytes(table->message, at, n_bytes);
}

/* Where the offset leads that stands there. */
static size_t
follow(Message *message, size_t at)
{
    size_t offset = read_bytes(message, at, 4);
    return offset != 0 && is_within(message, at + offset, 4, 4) ? at + offset : refuse(message);
}

/* Where what a field points to stands; 0 if it is absent. */
static size_t
find_target(const Table *table, int field)
{
    size_t at = find_field(table, field, 4);
    if (at == 0) {
        return 0;
    }
    return follow(table->message, at);
}

static Table
read_table(const Table *table, int field)
{
    size_t at = find_target(table, field);
    if (at == 0) {
        refuse(table->message);
    }
    return open_table(table->message, at);
}

/* Where the elements of a vector stand; 0 if it is absent. */
static size_t
find_vector(const Table *table, int field, size_t n_bytes, size_t *count)
{
    size_t at = find_target(table, field);
    *count = 0;
    if (at == 0) {
        return 0;
    }
    *count = read_bytes(table->message, at, 4);
    int fits = *count <= table->message->size && /* so that the product does not wrap around */
               is_within(table->message, at + 4, *count * n_bytes, n_bytes > 4 ? 8 : n_bytes);
    return fits ? at + 4 : refuse(table->message);
}

static void
refuse_if_there(const Table *table, int field)
{
    size_t entry = 4 + 2 * (size_t)field;
    if (!table->message->is_broken && entry + 2 <= table->vtable_size &&
        read_bytes(table->message, table->vtable + entry, 2) != 0) {
        refuse(table->message);
    }
}

/* Where a text stands, and how long it is: bytes, and a NUL behind them. */
static size_t
find_text(const Table *table, int field, size_t *length)
{
    size_t at = find_vector(table, field, 1, length);
    if (at == 0 || !is_within(table->message, at + *length, 1, 1) || table->message->bytes[at + *length] != 0) {
        return refuse(table->message);
    }
    return at;
}

/* The table that the n-th element of a vector of offsets points to. */
static Table
read_element(Message *message, size_t vector, size_t index)
{
    return open_table(message, message->is_broken ? 0 : follow(message, vector + 4 * index));
}

/* Begin the next message: the stream is then at its body. 0, or -1 if it is not of that kind. */
static int
begin_message(Stream *stream, unsigned kind, Message *message, Table *header, size_t *n_body_bytes)
{
    size_t there = stream->size - stream->at;
    uint32_t prefix[2];
    if (there < PREFIX_BYTES) {
        return -1;
    }
    memcpy(prefix, stream->body + stream->at, PREFIX_BYTES);
    if (prefix[0] != UINT32_MAX || prefix[1] > there - PREFIX_BYTES || prefix[1] < 4 || prefix[1] % ALIGNMENT != 0) {
        return -1;
    }
    *message = (Message){.bytes = stream->body + stream->at + PREFIX_BYTES, .size = prefix[1]};
    Table root = open_table(message, follow(message, 0));
    uint64_t version = read_field(&root, MESSAGE_VERSION, 2), body = read_field(&root, MESSAGE_BODY, 8);
    stream->at += PREFIX_BYTES + prefix[1];
    if ((version != VERSION_4 && version != VERSION_5) || read_field(&root, MESSAGE_KIND, 1) != kind ||
        body > stream->size - stream->at || body % ALIGNMENT != 0) {
        return -1;
    }
    refuse_if_there(&root, MESSAGE_METADATA);
    *n_body_bytes = body;
    *header = read_table(&root, MESSAGE_HEADER);
    return message->is_broken ? -1 : 0;
}

/* Settle of what type all columns are. 0, or -1 if that is none, or not of one type with those before. */
static int
settle_type(Stream *stream, const Table *field)
{
    uint64_t type = read_field(field, FIELD_KIND, 1);
    Table of_type = read_table(field, FIELD_TYPE);
    char kind = 0;
    uint64_t width = 0;
    if (type == FLOATING_POINT) {
        uint64_t precision = read_field(&of_type, 0, 2);
        kind = 'f';
        width = precision > 2 ? 0 : (uint64_t)2 << precision;
    } else if (type == INT) {
        uint64_t n_bits = read_field(&of_type, 0, 4);
        kind = read_field(&of_type, 1, 1) ? 'i' : 'u';
        width = n_bits == 8 || n_bits == 16 || n_bits == 32 || n_bits == 64 ? n_bits / 8 : 0;
    }
    int is_other = stream->width != 0 && (stream->width != width || stream->kind != kind);
    if (field->message->is_broken || width == 0 || is_other) {
        return -1;
    }
    stream->kind = kind;
    stream->width = width;
    return 0;
}

/* Note the name of a column. 0, or -1 if the column is not ours, or with an error. */
static int
read_column(Stream *stream, const Table *field, size_t index)
{
    size_t length, n_children;
    size_t name = find_text(field, FIELD_NAME, &length);
    find_vector(field, FIELD_CHILDREN, 4, &n_children);
    find_field(field, FIELD_NULLABLE, 1);
    refuse_if_there(field, FIELD_DICTIONARY);
    refuse_if_there(field, FIELD_METADATA); /* a type that somebody has defined over this one, perhaps */
    if (field->message->is_broken || n_children != 0 || settle_type(stream, field) < 0) {
        return -1;
    }
    PyObject *text = PyUnicode_DecodeUTF8(field->message->bytes + name, (Py_ssize_t)length, NULL);
    if (text == NULL) {
        return -1;
    }
    return PyTuple_SetItem(stream->names, (Py_ssize_t)index, text); /* it takes text, come what may */
}

static int
read_schema(Stream *stream)
{
    Message message;
    Table schema;
    size_t n_body_bytes, n_columns, n_pairs, length;
    if (begin_message(stream, SCHEMA, &message, &schema, &n_body_bytes) < 0 || n_body_bytes != 0 ||
        read_field(&schema, SCHEMA_ENDIANNESS, 2) != 0) {
        return -1;
    }
    refuse_if_there(&schema, SCHEMA_FEATURES);
    size_t pairs = find_vector(&schema, SCHEMA_METADATA, 4, &n_pairs);
    for (size_t index = 0; index < n_pairs && !message.is_broken; index++) {
        Table pair = read_element(&message, pairs, index);
        find_text(&pair, 0, &length);
        find_text(&pair, 1, &length);
    }
    size_t fields = find_vector(&schema, SCHEMA_FIELDS, 4, &n_columns);
    if (message.is_broken || n_columns == 0) {
        return -1;
    }
    stream->names = PyTuple_New((Py_ssize_t)n_columns);
    if (stream->names == NULL) {
        return -1;
    }
    for (size_t index = 0; index < n_columns; index++) {
        Table field = read_element(&message, fields, index);
        if (read_column(stream, &field, index) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A column of the batch: its node says that none is missing, its second buffer holds it. */
static int
place_column(Stream *stream, const Message *message, size_t nodes, size_t buffers, size_t index, size_t n_body_bytes,
             uint64_t *bytes_left)
{
    /* pairs of int64 each; one that is below 0 is huge here */
    uint64_t n_rows = read_bytes(message, nodes + 16 * index, 8), offsets[2], lengths[2];
    uint64_t n_missing = read_bytes(message, nodes + 16 * index + 8, 8);
    if (n_rows != stream->n_rows || n_missing != 0) {
        return -1;
    }
    for (size_t which = 0; which < 2; which++) {
        offsets[which] = read_bytes(message, buffers + 16 * (2 * index + which), 8);
        lengths[which] = read_bytes(message, buffers + 16 * (2 * index + which) + 8, 8);
        if (offsets[which] > n_body_bytes || lengths[which] > n_body_bytes - offsets[which] ||
            offsets[which] % ALIGNMENT != 0 || lengths[which] > *bytes_left) {
            return -1;
        }
        *bytes_left -= lengths[which];
    }
    size_t begin = stream->at + offsets[1], n_bytes = stream->n_rows * stream->width;
    if (lengths[1] < n_bytes) {
        return -1;
    }
    if (index == 0) {
        stream->begin = begin;
        stream->step = n_bytes;
        return 0;
    }
    if (index == 1 && begin > stream->begin) {
        stream->step = begin - stream->begin;
    }
    return stream->step >= n_bytes && begin == stream->begin + index * stream->step ? 0 : -1;
}

static int
read_batch(Stream *stream, uint64_t max_bytes)
{
    Message message;
    Table batch;
    size_t n_body_bytes, n_nodes, n_buffers, n_columns = (size_t)PyTuple_Size(stream->names);
    if (begin_message(stream, BATCH, &message, &batch, &n_body_bytes) < 0) {
        return -1;
    }
    uint64_t n_rows = read_field(&batch, BATCH_LENGTH, 8);
    size_t nodes = find_vector(&batch, BATCH_NODES, 16, &n_nodes);
    size_t buffers = find_vector(&batch, BATCH_BUFFERS, 16, &n_buffers);
    refuse_if_there(&batch, BATCH_COMPRESSION);
    refuse_if_there(&batch, BATCH_VARIADIC);
    if (message.is_broken || n_rows == 0 || n_rows > n_body_bytes / stream->width || n_nodes != n_columns ||
        n_buffers != 2 * n_columns) {
        return -1;
    }
    stream->n_rows = n_rows;
    for (size_t index = 0; index < n_columns; index++) {
        if (place_column(stream, &message, nodes, buffers, index, n_body_bytes, &max_bytes) < 0) {
            return -1;
        }
    }
    stream->at += n_body_bytes;
    return 0;
}

/* "end-of-stream: 0xFFFFFFFF 0x00000000", or the end of the bytes. */
static int
read_end(const Stream *stream)
{
    static const char END[PREFIX_BYTES] = {-1, -1, -1, -1, 0, 0, 0, 0};
    size_t there = stream->size - stream->at;
    return there == 0 || (there == sizeof END && memcmp(stream->body + stream->at, END, sizeof END) == 0) ? 0 : -1;
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
    Stream stream = {.body = PyBytes_AsString(args[0]), .size = (size_t)PyBytes_Size(args[0])};
    PyObject *result = NULL;
    if (*(const char *)&one == 1 && max_bytes >= 0 && read_schema(&stream) == 0 &&
        read_batch(&stream, (uint64_t)max_bytes) == 0 && read_end(&stream) == 0) {
        const char dtype[] = {'<', stream.kind, (char)('0' + stream.width), 0};
        result = Py_BuildValue("(Osnnn)", stream.names, dtype, (Py_ssize_t)stream.n_rows, (Py_ssize_t)stream.begin,
                               (Py_ssize_t)stream.step);
    } else if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear(); /* of a name that is no UTF-8 */
        result = Py_NewRef(Py_None);
    }
    Py_XDECREF(stream.names);
    return result;
}
