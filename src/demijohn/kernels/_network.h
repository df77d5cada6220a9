/* A neural network of dense layers, in float32: steps that each take a row of numbers to the next.
 *
 * Rules of this room:
 * 1. Everything is float32, as in the frameworks that such networks come from; sums run over a layer's inputs in
 *    their order. What that gives in the last bits is for parity to judge.
 * 2. Widths are checked once, when a network is made; running it reads and writes nothing else.
 * 3. A value that is not finite, or beyond `largest`, is not answered, and so is an answer that is not finite.
 */
#ifndef DEMIJOHN_NETWORK_H
#define DEMIJOHN_NETWORK_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define TILE 16 /* outputs of a dense layer that are summed at a time; every row of numbers has room for whole ones */

typedef enum {
    DENSE,     /* first: weights by tiles (n_tiles, n_in, TILE); second: bias (n_tiles, TILE) */
    AFFINE,    /* (x - first) * second + third */
    RELU,      /* max(x, 0) where `alpha` is 0, else x * alpha below 0 */
    CAPPED,    /* min(max(x, 0), alpha) */
    ELU,       /* alpha * (exp(x) - 1) below 0 */
    SELU,
    SIGMOID,
    SILU,
    TANH,
    SOFTPLUS,
    SOFTSIGN,
    EXPONENTIAL,
    GELU,
    SOFTMAX,
    N_KINDS
} Kind;

typedef struct {
    Kind kind;
    size_t n_in, n_out;
    float alpha;
    float *first, *second, *third;
} NetworkStep;

typedef struct {
    size_t n_steps, n_in, n_out, width; /* width: of the widest row between steps, in whole tiles */
    size_t n_products;                  /* of one row, about */
    float largest;
    NetworkStep *steps;
} Network;

/* Run `n_rows` rows of n_in float32. Needs no GIL. Returns 0; 1 if a value cannot be answered; 2 if there is no
 * memory. */
int run_network(const Network *network, const float *X, size_t n_rows, float *out);

extern PyType_Spec network_spec;

#endif
