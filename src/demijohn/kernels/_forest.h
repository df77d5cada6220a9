/* A tree ensemble in a form made for running: one block of memory, checked once when it is opened.
 *
 * Rules of this room:
 * 1. The block is not trusted: `open_block` (_forest_block.c) checks every number that later becomes an
 *    index, and that a child's number is greater than its parent's, so that walking ends and never reads
 *    outside the block, whatever stands in it.
 * 2. Siblings are adjacent: the right child is the left one plus 1, so a step is an addition, no branch.
 * 3. Numbers are compared as keys: unsigned integers in the order of the numbers, since comparing those takes
 *    fewer cycles, and every step waits for the comparison of the step before.
 * 4. A leaf is its own child. Its feature is a column after the last, in which every row holds the key 0, the
 *    least; so a walk that goes on stays where it is, and the threshold is free for the leaf's value.
 */
#ifndef DEMIJOHN_FOREST_H
#define DEMIJOHN_FOREST_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define LINE_BYTES 64
#define CATEGORY_WORDS 8 /* of 32 bits: categories 0...255 */

/* For ensembles that round rows to float32: a float32 is at most a threshold exactly if it is at most the
 * largest float32 that is at most the threshold. Half the size, so twice as many stay in the cache. */
typedef struct {
    uint32_t threshold; /* a key; at leaves the row of `values` */
    uint32_t link;      /* left child within the tree << 8 | feature */
} NarrowNode;

typedef struct {
    uint64_t threshold; /* a key; at leaves the bits of the value, or the row of `values`; by category: its row */
    uint32_t child;     /* left child within the tree */
    uint32_t feature;
} WideNode;

#define NARROW_MAX_FEATURES 254
#define NARROW_MAX_NODES (1u << 24)

enum { IS_NARROW = 1, CASTS_TO_FLOAT32 = 2, ALLOWS_MISSING = 4, HAS_CATEGORIES = 8, SUMS_IN_FLOAT32 = 16 };
enum { MISSING_LEFT = 1, BY_CATEGORY = 2 }; /* a node's flags */

typedef struct {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t n_bytes;
    uint64_t n_nodes;
    uint64_t n_trees;
    uint64_t n_features;
    uint64_t n_outputs;
    uint64_t width;
    uint64_t n_leaves;     /* rows of `values` */
    uint64_t n_categories; /* rows of `left_categories` */
    uint64_t flags;
} Header;

/* Steps from a tree's root to its leaves. */
typedef struct {
    uint32_t shortest, longest;
} Depths;

typedef struct {
    Header head;
    const char *block;
    const void *nodes;
    const double *values;
    const double *start;
    const uint32_t *known_categories;
    const uint32_t *left_categories;
    const uint32_t *first; /* n_trees + 1: a tree's nodes are first[t] ... first[t + 1] - 1, its root the first */
    const uint32_t *column;
    const int32_t *original; /* a node's number in the arrays that the ensemble came in */
    const uint8_t *node_flags;
    Depths *depths;          /* n_trees; ours */
    uint8_t *is_category;    /* n_features: some split on it is by category; ours */
} Forest;

typedef struct {
    int64_t n_features;
    int is_casting, allows_missing, sums_in_float32;
    Py_buffer roots, column, feature, threshold, left, right, missing_left, leaf, values, start;
    Py_buffer categorical, left_categories, known_categories; /* .obj is NULL if there are none */
} Arrays;

/* The key of NaN is the greatest. Both zeros have one key. */
static inline uint32_t
narrow_key(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    bits = bits << 1 == 0 ? 0 : bits;
    bits ^= bits >> 31 ? UINT32_MAX : (uint32_t)1 << 31;
    return number != number ? UINT32_MAX : bits;
}

static inline uint64_t
wide_key(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    bits = bits << 1 == 0 ? 0 : bits;
    bits ^= bits >> 63 ? UINT64_MAX : (uint64_t)1 << 63;
    return number != number ? UINT64_MAX : bits;
}

/* The number whose key this is, but NaN. */
static inline double
number_of(uint64_t key)
{
    uint64_t bits = key >> 63 ? key ^ (uint64_t)1 << 63 : ~key;
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Fill in where the sections of a block stand, and its length; -1 with ValueError if it would be too large. */
int lay_out(Forest *forest, const char *block);

/* Check a block of `n_bytes` at an address that is a multiple of 64, and make `forest` point into it; -1 with
 * ValueError or MemoryError. */
int open_block(Forest *forest, const char *block, size_t n_bytes);

/* Free what `open_block` allocated. */
void close_block(Forest *forest);

/* Make a block from an ensemble's arrays, at a multiple of 64 within *own (for PyMem_Free); NULL with an error. */
char *make_block(const Arrays *arrays, void **own, size_t *n_bytes);

/* Memory for a block: at a multiple of 64 within *own (for PyMem_Free); NULL with MemoryError. */
char *allocate_block(size_t n_bytes, void **own);

/* Walk `n_rows` rows of `n_features` float64. Exactly one of `sums` (n_rows, n_outputs) and `leaves`
 * (n_rows, n_trees) is not NULL. Needs no GIL.
 * Returns 0; 1 if a value cannot be answered; 2 if there is no memory. */
int run_forest(const Forest *forest, const double *X, size_t n_rows, double *sums, int32_t *leaves);

#endif
