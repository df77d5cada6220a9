/* A batch of an Arrow stream: its buffers, one after another. Checked, as all that _arrow_messages.h reads. */
#ifndef DEMIJOHN_ARROW_BATCH_H
#define DEMIJOHN_ARROW_BATCH_H

#include "_arrow_messages.h"

typedef struct {
    const char *bytes;
    uint64_t size;
} Piece;

typedef struct {
    const Message *message;
    const char *body;
    size_t n_body_bytes, nodes, n_nodes, buffers, n_buffers, next_buffer;
    uint64_t n_rows, *bytes_left; /* that the buffers of all batches may have */
} Batch;

/* Begin a batch whose message has been read. 0, or -1. */
static inline int
open_batch(Batch *batch, const Table *table, const Stream *stream, size_t n_body_bytes, uint64_t *bytes_left)
{
    *batch = (Batch){.message = table->message, .body = stream->body + stream->at};
    batch->n_body_bytes = n_body_bytes;
    batch->bytes_left = bytes_left;
    batch->n_rows = read_field(table, BATCH_LENGTH, 8);
    batch->nodes = find_vector(table, BATCH_NODES, 16, &batch->n_nodes);
    batch->buffers = find_vector(table, BATCH_BUFFERS, 16, &batch->n_buffers);
    refuse_if_there(table, BATCH_COMPRESSION);
    refuse_if_there(table, BATCH_VARIADIC);
    return table->message->is_broken || batch->n_rows > n_body_bytes ? -1 : 0;
}

/* The next buffer of a batch, of at least so many bytes. 0, or -1. */
static inline int
take_piece(Batch *batch, uint64_t least, Piece *piece)
{
    if (batch->next_buffer == batch->n_buffers) {
        return -1;
    }
    size_t at = batch->buffers + 16 * batch->next_buffer++;
    uint64_t offset = read_bytes(batch->message, at, 8), length = read_bytes(batch->message, at + 8, 8);
    if (offset > batch->n_body_bytes || length > batch->n_body_bytes - offset || offset % ALIGNMENT != 0 ||
        length < least || length > *batch->bytes_left) {
        return -1;
    }
    *batch->bytes_left -= length;
    *piece = (Piece){batch->body + offset, length};
    return 0;
}

/* The bits that say which cells of the index-th column are there; bytes: NULL, all are. 0, or -1. */
static inline int
take_validity(Batch *batch, size_t index, Piece *bits)
{
    uint64_t n_rows = read_bytes(batch->message, batch->nodes + 16 * index, 8);
    uint64_t n_missing = read_bytes(batch->message, batch->nodes + 16 * index + 8, 8), n_found = 0;
    if (n_rows != batch->n_rows || take_piece(batch, n_missing ? (n_rows + 7) / 8 : 0, bits) < 0) {
        return -1;
    }
    if (n_missing == 0) {
        bits->bytes = NULL;
        return 0;
    }
    for (uint64_t row = 0; row < n_rows; row++) {
        n_found += !((unsigned char)bits->bytes[row / 8] >> row % 8 & 1);
    }
    return n_found == n_missing ? 0 : -1;
}

static inline int
is_missing(const Piece *bits, size_t row)
{
    return bits->bytes != NULL && !((unsigned char)bits->bytes[row / 8] >> row % 8 & 1);
}

/* Where the text of a row stands. 0, or -1 if that is out of place. */
static inline int
take_text(const Piece *offsets, const Piece *data, uint64_t width, size_t row, const char **text, size_t *length)
{
    uint64_t begin = 0, end = 0; /* little-endian; one that is below 0 is huge here */
    memcpy(&begin, offsets->bytes + row * width, width);
    memcpy(&end, offsets->bytes + (row + 1) * width, width);
    *text = data->bytes + begin;
    *length = end - begin;
    int fits = begin <= end && end <= data->size && end <= (width == 4 ? INT32_MAX : INT64_MAX);
    return fits ? 0 : -1;
}

/* The two buffers of texts. 0, or -1. */
static inline int
take_offsets(Batch *batch, uint64_t width, Piece *offsets, Piece *data)
{
    int fits = take_piece(batch, (batch->n_rows + 1) * width, offsets) == 0 &&
               take_piece(batch, 0, data) == 0;
    return fits ? 0 : -1;
}

#endif
