/* Running a forest: _forest_walk.h once for each form of node. */
#include "_forest.h"

#include "_inline.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define LANES 8             /* more do not fit into the registers */
#define SIDE_BY_SIDE LANES  /* from so many rows on, lanes are rows of one tree, else trees of one row */
#define SMALL_BLOCK_BYTES (24 * 1024)  /* of rows: they and a small tree stay in the nearest cache together */
#define LARGE_BLOCK_BYTES (256 * 1024) /* reading a large tree anew pays for more rows */
#define SMALL_TREE_NODES 2048
#define STACK_VALUES 256

enum { PLAIN, WITH_MISSING, WITH_CATEGORIES };
enum { HAS_NAN = 1, HAS_ODD = 2 };

/* Where scikit-learn's _predictor.pyx, _predict_one_from_raw_data, sends a value that is not NaN. It casts to
 * uint8; what that does not hold, C leaves open, so `has_odd_category` keeps it out. */
static uint32_t
category_goes_right(const Forest *forest, uint64_t row, uint64_t feature, double value, uint8_t flags)
{
    if (value >= 0) {
        uint32_t category = (uint32_t)value & 255;
        uint32_t bit = (uint32_t)1 << (category % 32);
        if (forest->left_categories[row * CATEGORY_WORDS + category / 32] & bit) {
            return 0;
        }
        if (forest->known_categories[feature * CATEGORY_WORDS + category / 32] & bit) {
            return 1;
        }
    }
    return !(flags & MISSING_LEFT);
}

/* Add a leaf's value to a sum. Where the framework adds in float32, both are float32 already, and rounding the exact
 * sum of two of them in double to float32 is what adding them in float32 gives. */
ALWAYS_INLINE void
add_to(double *sum, double value, int rounds)
{
    double total = *sum + value;
    *sum = rounds ? (double)(float)total : total;
}

static int
has_odd_category(const Forest *forest, const double *X, size_t n_rows)
{
    const size_t n_features = (size_t)forest->head.n_features;
    for (size_t index = 0; index < n_rows; index++) {
        for (size_t feature = 0; feature < n_features; feature++) {
            double value = X[index * n_features + feature];
            value = forest->head.flags & CASTS_TO_FLOAT32 ? (double)(float)value : value;
            if (forest->is_category[feature] && value >= 256) {
                return 1;
            }
        }
    }
    return 0;
}

#define NODE NarrowNode
#define KEY uint32_t
#define NUMBER float
#define CHILD(node) ((node)->link >> 8)
#define FEATURE(node) ((node)->link & 255)
#define NAMED(name) narrow_##name
#include "_forest_walk.h"
#undef NODE
#undef KEY
#undef NUMBER
#undef CHILD
#undef FEATURE
#undef NAMED

#define NODE WideNode
#define KEY uint64_t
#define NUMBER double
#define CHILD(node) ((node)->child)
#define FEATURE(node) ((node)->feature)
#define NAMED(name) wide_##name
#include "_forest_walk.h"

int
run_forest(const Forest *forest, const double *X, size_t n_rows, double *sums, int32_t *leaves)
{
    const Header *head = &forest->head;
    const size_t stride = (size_t)head->n_features + 1;
    const int is_narrow = (head->flags & IS_NARROW) != 0;
    const size_t value_bytes = is_narrow ? sizeof(float) : sizeof(double);
    double near[STACK_VALUES]; /* one row, as a rule */
    void *values = near, *own = NULL;
    size_t block_rows = n_rows;
    if (n_rows >= SIDE_BY_SIDE || n_rows * stride > STACK_VALUES) {
        int has_small_trees = head->n_nodes / (head->n_trees + 1) < SMALL_TREE_NODES;
        size_t block_bytes = has_small_trees ? SMALL_BLOCK_BYTES : LARGE_BLOCK_BYTES;
        block_rows = block_bytes / (stride * value_bytes) / LANES * LANES;
        block_rows = block_rows < 2 * LANES ? 2 * LANES : block_rows;
        size_t asked = (n_rows + LANES - 1) / LANES * LANES;
        block_rows = asked < block_rows ? asked : block_rows;
        own = values = malloc(block_rows * stride * value_bytes);
        if (own == NULL) {
            return 2;
        }
    }
    for (size_t row = 0; sums != NULL && row < n_rows; row++) {
        memcpy(sums + row * head->n_outputs, forest->start, head->n_outputs * sizeof *sums);
    }
    int result = is_narrow ? narrow_run(forest, X, n_rows, sums, leaves, values, block_rows)
                           : wide_run(forest, X, n_rows, sums, leaves, values, block_rows);
    free(own);
    return result;
}
