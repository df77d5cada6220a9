/* What may stand between the parts of a JSON text. */
#ifndef DEMIJOHN_BLANKS_H
#define DEMIJOHN_BLANKS_H

/* The text ends with NUL, which is no blank. */
static inline const char *
skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') {
        at++;
    }
    return at;
}

#endif
