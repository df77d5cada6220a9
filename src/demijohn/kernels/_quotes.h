/* Where a text of JSON ends. What its escapes mean, and whether they are JSON's, is not looked at. */
#ifndef DEMIJOHN_QUOTES_H
#define DEMIJOHN_QUOTES_H

#include <stdint.h>
#include <string.h>

/* The quote behind a text, or the first escape in it; NULL where it holds before what no text may. */
static inline const char *
find_quote_or_escape(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101u;
    while (end - at >= 8) {
        uint64_t eight, quotes, escapes, found;
        memcpy(&eight, at, sizeof eight);
        quotes = eight ^ (ones * '"');
        escapes = eight ^ (ones * '\\');
        found = ((quotes - ones) & ~quotes) | ((escapes - ones) & ~escapes) | ((eight - ones * 0x20) & ~eight);
        if ((found & (ones * 0x80)) != 0) {
            break; /* one of these is among the eight */
        }
        at += 8;
    }
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) {
        at++;
    }
    return at < end && (*at == '"' || *at == '\\') ? at : NULL;
}

/* The quote behind a text; NULL where it holds what no text may. */
static inline const char *
find_quote(const char *at, const char *end, int *has_escapes)
{
    at = find_quote_or_escape(at, end);
    for (*has_escapes = 0; at != NULL && *at == '\\'; *has_escapes = 1) {
        at = end - at < 2 ? NULL : find_quote_or_escape(at + 2, end);
    }
    return at;
}

#endif
