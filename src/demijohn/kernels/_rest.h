/* What a JSON body says around the values that are cut out of it.
 *
 * Rules of this room:
 * 1. It does not know whether the rest is JSON: whoever reads that finds out. The body is, exactly if the rest is, and
 *    then means the same but for what was cut out. For what is cut out is JSON to the letter, and so is what stands in
 *    its place; and it is one whole value, and never within a string, which is skipped from quote to quote.
 * 2. A client's id is another at each request: where "id" stands as a key once, before a string, that is cut out too,
 *    and "" stands in its place. A second key "id" is none of ours.
 * 3. The text ends with NUL, which is part of no string, so single bytes are read without asking for the end.
 */
#ifndef DEMIJOHN_REST_H
#define DEMIJOHN_REST_H

#include <string.h>

#include "_blanks.h"
#include "_quotes.h"

#define MAX_REST 8192 /* bytes: a longer one is no plain request */
#define MAX_ID 128

typedef struct {
    const char *at, *end;
    const char *id; /* in the body; NULL as long as none was cut out */
    size_t n_id_bytes;
    int has_id;     /* the key was met */
    size_t n_bytes, max_bytes;
    char bytes[MAX_REST];
} Rest;

static inline void
open_rest(Rest *rest, const char *begin, const char *end, size_t max_bytes)
{
    rest->at = begin;
    rest->end = end;
    rest->id = NULL;
    rest->has_id = 0;
    rest->n_bytes = 0;
    rest->max_bytes = max_bytes;
}

/* Append what needs no reading. 0, or -1 if it grows too long. */
static inline int
keep(Rest *rest, const char *begin, const char *end)
{
    size_t n_bytes = (size_t)(end - begin);
    if (n_bytes > rest->max_bytes - rest->n_bytes) {
        return -1;
    }
    memcpy(rest->bytes + rest->n_bytes, begin, n_bytes);
    rest->n_bytes += n_bytes;
    return 0;
}

/* Have an empty list stand in the place of one that begins here and was read up to `end`. */
static inline int
cut_list(Rest *rest, const char *end)
{
    static const char EMPTY[] = "[]";
    rest->at = end;
    return keep(rest, EMPTY, EMPTY + 2);
}

/* How far to look: no further than the rest may reach. */
static inline const char *
horizon_of(const Rest *rest, const char *at)
{
    return (size_t)(rest->end - at) < rest->max_bytes ? rest->end : at + rest->max_bytes;
}

static inline int
is_text(const char *begin, const char *end, const char *text)
{
    size_t n_bytes = strlen(text);
    return (size_t)(end - begin) == n_bytes && memcmp(begin, text, n_bytes) == 0;
}

/* A string's value may be cut out if it is plain; others may have any id. 0, or -1. */
static int
take_id(Rest *rest)
{
    if (rest->has_id) {
        return -1;
    }
    rest->has_id = 1;
    if (*rest->at != '"') {
        return 0;
    }
    static const char EMPTY[] = "\"\"";
    const char *begin = rest->at + 1, *at = begin;
    while (*at >= ' ' && *at <= '~' && *at != '"' && *at != '\\') { /* ASCII, and no NUL */
        at++;
    }
    if (*at != '"' || at - begin > MAX_ID) {
        return -1;
    }
    rest->id = begin;
    rest->n_id_bytes = (size_t)(at - begin);
    rest->at = at + 1;
    return keep(rest, EMPTY, EMPTY + 2);
}

/* On to the value behind the next key of these, or with none behind any key whose value is a list: 1 + its index. 0 at
 * the body's end; -1 if the body is none of ours, or one of these may be written with an escape. */
static int
find_key(Rest *rest, const char *const *keys, int n_keys)
{
    for (;;) {
        const char *quote = memchr(rest->at, '"', (size_t)(horizon_of(rest, rest->at) - rest->at));
        if (quote == NULL) {
            return keep(rest, rest->at, rest->end);
        }
        int has_escapes;
        const char *text = quote + 1, *last = find_quote(text, horizon_of(rest, text), &has_escapes);
        if (last == NULL) {
            return -1;
        }
        const char *at = skip_blanks(last + 1);
        int is_key = *at == ':';
        if (is_key && n_keys > 0 && has_escapes) {
            return -1; /* it may be one of these */
        }
        at = is_key ? skip_blanks(at + 1) : at;
        if (keep(rest, rest->at, at) < 0) {
            return -1;
        }
        rest->at = at;
        if (!is_key) {
            continue;
        }
        for (int index = 0; index < n_keys; index++) {
            if (is_text(text, last, keys[index])) {
                return 1 + index;
            }
        }
        if (n_keys == 0 && *at == '[') {
            return 1;
        }
        if (is_text(text, last, "id") && take_id(rest) < 0) {
            return -1;
        }
    }
}

/* The id, or None. NULL with an error. */
static PyObject *
id_of(const Rest *rest)
{
    if (rest->id == NULL) {
        return Py_NewRef(Py_None);
    }
    return PyUnicode_FromStringAndSize(rest->id, (Py_ssize_t)rest->n_id_bytes);
}

#endif
