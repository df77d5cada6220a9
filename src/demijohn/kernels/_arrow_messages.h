/* The messages of an Arrow stream, and the flatbuffers in them.
 *
 * Rule of this room: nothing is believed. Each part that is looked at is within its message and aligned, as Arrow's
 * verifier wants it.
 *
 * Sources: https://arrow.apache.org/docs/format/Columnar.html ("Encapsulated message format"); format/Message.fbs and
 * format/Schema.fbs of Apache Arrow; https://flatbuffers.dev/internals/.
 */
#ifndef DEMIJOHN_ARROW_MESSAGES_H
#define DEMIJOHN_ARROW_MESSAGES_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define VERSION_4 3 /* of Schema.fbs; from 0.8 on, and the numbers of 1.0 stand alike */
#define VERSION_5 4
#define PREFIX_BYTES 8
#define ALIGNMENT 8

enum { SCHEMA = 1, DICTIONARY = 2, BATCH = 3 };                                 /* MessageHeader */
enum { MESSAGE_VERSION, MESSAGE_KIND, MESSAGE_HEADER, MESSAGE_BODY, MESSAGE_METADATA };
enum { SCHEMA_ENDIANNESS, SCHEMA_FIELDS, SCHEMA_METADATA, SCHEMA_FEATURES };
enum { FIELD_NAME, FIELD_NULLABLE, FIELD_KIND, FIELD_TYPE, FIELD_DICTIONARY, FIELD_CHILDREN, FIELD_METADATA };
enum { INT = 2, FLOATING_POINT = 3, UTF8 = 5, LARGE_UTF8 = 20 };                /* Type */
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
    size_t size, at;
} Stream;

/* n_bytes (8 at most) at a place that is known to be within the message. */
static inline uint64_t
read_bytes(const Message *message, size_t at, size_t n_bytes)
{
    uint64_t value = 0;
    memcpy(&value, message->bytes + at, n_bytes); /* little-endian: see find_numbers */
    return value;
}

static inline size_t
refuse(Message *message)
{
    message->is_broken = 1;
    return 0;
}

/* Whether so many bytes stand there, and where they may. */
static inline int
is_within(const Message *message, size_t at, size_t n_bytes, size_t alignment)
{
    return at % alignment == 0 && at <= message->size && n_bytes <= message->size - at;
}

static inline Table
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
static inline size_t
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
static inline uint64_t
read_field(const Table *table, int field, size_t n_bytes)
{
    size_t at = find_field(table, field, n_bytes);
    return at == 0 ? 0 : read_bytes(table->message, at, n_bytes);
}

/* Where the offset leads that stands there. */
static inline size_t
follow(Message *message, size_t at)
{
    size_t offset = read_bytes(message, at, 4);
    return offset != 0 && is_within(message, at + offset, 4, 4) ? at + offset : refuse(message);
}

/* Where what a field points to stands; 0 if it is absent. */
static inline size_t
find_target(const Table *table, int field)
{
    size_t at = find_field(table, field, 4);
    if (at == 0) {
        return 0;
    }
    return follow(table->message, at);
}

static inline Table
read_table(const Table *table, int field)
{
    size_t at = find_target(table, field);
    if (at == 0) {
        refuse(table->message);
    }
    return open_table(table->message, at);
}

/* Where the elements of a vector stand; 0 if it is absent. */
static inline size_t
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

static inline void
refuse_if_there(const Table *table, int field)
{
    size_t entry = 4 + 2 * (size_t)field;
    if (!table->message->is_broken && entry + 2 <= table->vtable_size &&
        read_bytes(table->message, table->vtable + entry, 2) != 0) {
        refuse(table->message);
    }
}

/* Where a text stands, and how long it is: bytes, and a NUL behind them. */
static inline size_t
find_text(const Table *table, int field, size_t *length)
{
    size_t at = find_vector(table, field, 1, length);
    if (at == 0 || !is_within(table->message, at + *length, 1, 1) || table->message->bytes[at + *length] != 0) {
        return refuse(table->message);
    }
    return at;
}

/* The table that the n-th element of a vector of offsets points to. */
static inline Table
read_element(Message *message, size_t vector, size_t index)
{
    return open_table(message, message->is_broken ? 0 : follow(message, vector + 4 * index));
}

/* Begin the next message: the stream is then at its body. Its kind, or 0 if it is none. */
static inline unsigned
next_message(Stream *stream, Message *message, Table *header, size_t *n_body_bytes)
{
    size_t there = stream->size - stream->at;
    uint32_t prefix[2];
    if (there < PREFIX_BYTES) {
        return 0;
    }
    memcpy(prefix, stream->body + stream->at, PREFIX_BYTES);
    if (prefix[0] != UINT32_MAX || prefix[1] > there - PREFIX_BYTES || prefix[1] < 4 || prefix[1] % ALIGNMENT != 0) {
        return 0;
    }
    *message = (Message){.bytes = stream->body + stream->at + PREFIX_BYTES, .size = prefix[1]};
    Table root = open_table(message, follow(message, 0));
    uint64_t version = read_field(&root, MESSAGE_VERSION, 2), body = read_field(&root, MESSAGE_BODY, 8);
    unsigned kind = (unsigned)read_field(&root, MESSAGE_KIND, 1);
    stream->at += PREFIX_BYTES + prefix[1];
    if ((version != VERSION_4 && version != VERSION_5) || body > stream->size - stream->at || body % ALIGNMENT != 0) {
        return 0;
    }
    refuse_if_there(&root, MESSAGE_METADATA);
    *n_body_bytes = body;
    *header = read_table(&root, MESSAGE_HEADER);
    return message->is_broken ? 0 : kind;
}

/* Where the fields of a schema message stand, which comes first; 0 if it is not ours. */
static inline size_t
read_fields(Stream *stream, Message *message, size_t *n_columns)
{
    Table schema;
    size_t n_body_bytes, n_pairs, length;
    if (next_message(stream, message, &schema, &n_body_bytes) != SCHEMA || n_body_bytes != 0 ||
        read_field(&schema, SCHEMA_ENDIANNESS, 2) != 0) {
        return 0;
    }
    refuse_if_there(&schema, SCHEMA_FEATURES);
    size_t pairs = find_vector(&schema, SCHEMA_METADATA, 4, &n_pairs);
    for (size_t index = 0; index < n_pairs && !message->is_broken; index++) {
        Table pair = read_element(message, pairs, index);
        find_text(&pair, 0, &length);
        find_text(&pair, 1, &length);
    }
    size_t fields = find_vector(&schema, SCHEMA_FIELDS, 4, n_columns);
    return message->is_broken || *n_columns == 0 ? 0 : fields;
}

/* Whether a field is of a column that has no others below it, and of which nobody has said more. */
static inline int
is_plain_field(const Table *field)
{
    size_t n_children;
    find_vector(field, FIELD_CHILDREN, 4, &n_children);
    find_field(field, FIELD_NULLABLE, 1);
    refuse_if_there(field, FIELD_METADATA); /* a type that somebody has defined over this one, perhaps */
    return !field->message->is_broken && n_children == 0;
}

/* Note the name of the index-th column. 0, or -1 if it is none, or with an error. */
static inline int
note_name(PyObject *names, const Table *field, size_t index)
{
    size_t length, name = find_text(field, FIELD_NAME, &length);
    if (field->message->is_broken) {
        return -1;
    }
    PyObject *text = PyUnicode_DecodeUTF8(field->message->bytes + name, (Py_ssize_t)length, NULL);
    return text == NULL ? -1 : PyTuple_SetItem(names, (Py_ssize_t)index, text); /* it takes text, come what may */
}

/* The kind of number (f, i or u: numpy's) that a type is, and how many bytes it has: 0 if it is none. */
static inline char
kind_of_number(uint64_t type, const Table *of_type, uint64_t *width)
{
    *width = 0;
    if (type == FLOATING_POINT) {
        uint64_t precision = read_field(of_type, 0, 2);
        *width = precision > 2 ? 0 : (uint64_t)2 << precision;
        return 'f';
    }
    if (type != INT) {
        return 0;
    }
    uint64_t n_bits = read_field(of_type, 0, 4);
    *width = n_bits == 8 || n_bits == 16 || n_bits == 32 || n_bits == 64 ? n_bits / 8 : 0;
    return read_field(of_type, 1, 1) ? 'i' : 'u';
}

/* "end-of-stream: 0xFFFFFFFF 0x00000000", or the end of the bytes. 0, or -1. */
static inline int
read_end(const Stream *stream)
{
    static const char END[PREFIX_BYTES] = {-1, -1, -1, -1, 0, 0, 0, 0};
    size_t there = stream->size - stream->at;
    return there == 0 || (there == sizeof END && memcmp(stream->body + stream->at, END, sizeof END) == 0) ? 0 : -1;
}

#endif
