/* Texts of JSON with escapes: they mean what Python's json reads in them (RFC 8259, section 7). Half a surrogate pair is
 * no text.
 */
#ifndef DEMIJOHN_ESCAPES_H
#define DEMIJOHN_ESCAPES_H

#include <stdint.h>
#include <string.h>

/* Four hexadecimal digits; -1 if they are none. */
static int32_t
read_unit(const char *at, const char *end)
{
    int32_t unit = 0;
    if (end - at < 4) {
        return -1;
    }
    for (const char *last = at + 4; at < last; at++) {
        int is_letter = (*at | 0x20) >= 'a' && (*at | 0x20) <= 'f';
        if (!is_letter && (*at < '0' || *at > '9')) {
            return -1;
        }
        unit = unit << 4 | (is_letter ? (*at | 0x20) - 'a' + 10 : *at - '0');
    }
    return unit;
}

/* The character of a "\\u" and four digits, or of two such that are a pair; it ends up behind them. -1 if it is none. */
static int32_t
read_character(const char **at, const char *end)
{
    int32_t first = read_unit(*at + 2, end);
    *at += 6;
    if (first < 0xd800 || first > 0xdfff) {
        return first;
    }
    int has_second = first <= 0xdbff && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u';
    int32_t second = has_second ? read_unit(*at + 2, end) : -1;
    *at += 6;
    return second < 0xdc00 || second > 0xdfff ? -1 : 0x10000 + ((first & 0x3ff) << 10 | (second & 0x3ff));
}

static char *
put_utf8(char *put, int32_t character)
{
    static const unsigned char LEADS[] = {0, 0xc0, 0xe0, 0xf0};
    int n_more = (character >= 0x80) + (character >= 0x800) + (character >= 0x10000);
    *put++ = (char)(character >> 6 * n_more | LEADS[n_more]);
    while (n_more-- > 0) {
        *put++ = (char)((character >> 6 * n_more & 0x3f) | 0x80);
    }
    return put;
}

/* What a text with escapes means; NULL with an error. */
static PyObject *
of_escaped(const char *text, Py_ssize_t length)
{
    static const char LETTERS[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    char *bytes = PyMem_Malloc((size_t)length), *put = bytes; /* no escape is shorter than what it means */
    if (bytes == NULL) {
        return PyErr_NoMemory();
    }
    const char *at = text, *end = text + length;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at)), *last = escape == NULL ? end : escape;
        memcpy(put, at, (size_t)(last - at));
        put += last - at;
        at = last;
        if (at == end) {
            break;
        }
        const char *letter = memchr(LETTERS, at[1], sizeof LETTERS - 1);
        int32_t character = letter != NULL ? MEANT[letter - LETTERS] : at[1] == 'u' ? read_character(&at, end) : -1;
        if (character < 0) {
            PyMem_Free(bytes);
            PyErr_SetString(PyExc_ValueError, "an escape that JSON has not");
            return NULL;
        }
        at += letter == NULL ? 0 : 2;
        put = put_utf8(put, character);
    }
    PyObject *made = PyUnicode_DecodeUTF8(bytes, put - bytes, NULL);
    PyMem_Free(bytes);
    return made;
}

#endif
