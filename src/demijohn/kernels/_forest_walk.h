/* The walks, for one form of node: included by _forest_run.c once per form, with these names defined:
 * NODE, KEY (its threshold's type), NUMBER (what a key is made of), CHILD(node), FEATURE(node), NAMED(name).
 *
 * LANES walks run side by side without a branch, since one walk alone waits for memory at each step.
 */

/* The value of one leaf, k of `width`. */
static inline double
NAMED(value_of)(const Forest *forest, const NODE *leaf, uint64_t width, uint64_t k)
{
    double value;
    if (width == 1 && sizeof leaf->threshold == sizeof value) {
        memcpy(&value, &leaf->threshold, sizeof leaf->threshold);
        return value;
    }
    return forest->values[leaf->threshold * width + k];
}

ALWAYS_INLINE uint32_t
NAMED(step)(const Forest *forest, const NODE *tree, const KEY *row, size_t apart, uint32_t at, int kind)
{
    const NODE *node = tree + at;
    KEY value = row[FEATURE(node) * apart];
    if (kind == PLAIN) {
        return CHILD(node) + (value > node->threshold);
    }
    uint8_t flags = forest->node_flags[(size_t)(tree - (const NODE *)forest->nodes) + at];
    uint32_t goes_right = value > node->threshold;
    if (value == (KEY)-1) {
        goes_right = !(flags & MISSING_LEFT);
    } else if (kind == WITH_CATEGORIES && flags & BY_CATEGORY) {
        goes_right = category_goes_right(forest, node->threshold, FEATURE(node), number_of(value), flags);
    }
    return CHILD(node) + goes_right;
}

/* Walk from LANES roots to LANES leaves; the values of a lane's row stand `apart`, and rows `beside` each other. No
 * leaf is nearer to a root than the shortest of `depths` or farther than the longest. */
ALWAYS_INLINE void
NAMED(walk)(const Forest *forest, const NODE *const trees[LANES], const KEY *rows, size_t apart, size_t beside,
            Depths depths, uint32_t found[LANES], int kind)
{
    uint32_t at[LANES] = {0}, depth = 0;
    for (; depth < depths.shortest; depth++) {
        UNROLL
        for (int lane = 0; lane < LANES; lane++) {
            at[lane] = NAMED(step)(forest, trees[lane], rows + lane * beside, apart, at[lane], kind);
        }
    }
    for (uint32_t moved = 1; moved && depth < depths.longest; depth++) {
        moved = 0;
        UNROLL
        for (int lane = 0; lane < LANES; lane++) {
            uint32_t next = NAMED(step)(forest, trees[lane], rows + lane * beside, apart, at[lane], kind);
            moved |= next ^ at[lane];
            at[lane] = next;
        }
    }
    memcpy(found, at, sizeof at);
}

/* One row, LANES trees at a time. */
ALWAYS_INLINE void
NAMED(walk_trees)(const Forest *forest, const KEY *row, double *sums, int32_t *leaves, int kind)
{
    const uint64_t n_trees = forest->head.n_trees, width = forest->head.width;
    const int rounds = (forest->head.flags & SUMS_IN_FLOAT32) != 0;
    const NODE *nodes = forest->nodes, *trees[LANES];
    uint32_t found[LANES];
    for (uint64_t begin = 0; begin < n_trees; begin += LANES) {
        uint64_t n = n_trees - begin < LANES ? n_trees - begin : LANES;
        Depths depths = {UINT32_MAX, 0};
        for (uint64_t lane = 0; lane < LANES; lane++) {
            uint64_t tree = begin + (lane < n ? lane : n - 1); /* the last lanes may repeat a tree, in vain */
            trees[lane] = nodes + forest->first[tree];
            Depths here = forest->depths[tree];
            depths.shortest = here.shortest < depths.shortest ? here.shortest : depths.shortest;
            depths.longest = here.longest > depths.longest ? here.longest : depths.longest;
        }
        NAMED(walk)(forest, trees, row, 1, 0, depths, found, kind);
        for (uint64_t lane = 0; lane < n; lane++) {
            const NODE *leaf = trees[lane] + found[lane];
            if (leaves != NULL) {
                leaves[begin + lane] = forest->original[leaf - nodes];
                continue;
            }
            double *sum = sums + forest->column[begin + lane];
            for (uint64_t k = 0; k < width; k++) {
                add_to(sum + k, NAMED(value_of)(forest, leaf, width, k), rounds);
            }
        }
    }
}

/* One tree, LANES rows at a time, whose keys stand LANES apart. */
ALWAYS_INLINE void
NAMED(walk_rows)(const Forest *forest, uint64_t number, const NODE *tree, const KEY *keys, size_t n_rows,
                 double *sums, int32_t *leaves, int kind)
{
    const uint64_t width = forest->head.width, n_outputs = forest->head.n_outputs, n_trees = forest->head.n_trees;
    const size_t stride = (size_t)forest->head.n_features + 1;
    const int rounds = (forest->head.flags & SUMS_IN_FLOAT32) != 0;
    const Depths depths = forest->depths[number];
    const NODE *trees[LANES];
    uint32_t found[LANES];
    for (size_t lane = 0; lane < LANES; lane++) {
        trees[lane] = tree;
    }
    for (size_t begin = 0; begin < n_rows; begin += LANES) {
        size_t n = n_rows - begin < LANES ? n_rows - begin : LANES;
        NAMED(walk)(forest, trees, keys + begin * stride, LANES, 1, depths, found, kind);
        if (leaves != NULL) {
            for (size_t lane = 0; lane < n; lane++) {
                leaves[(begin + lane) * n_trees + number] = forest->original[forest->first[number] + found[lane]];
            }
            continue;
        }
        double *sum = sums + begin * n_outputs + forest->column[number];
        if (width == 1) {
            for (size_t lane = 0; lane < n; lane++) {
                add_to(sum + lane * n_outputs, NAMED(value_of)(forest, tree + found[lane], 1, 0), rounds);
            }
            continue;
        }
        for (size_t lane = 0; lane < n; lane++) {
            for (uint64_t k = 0; k < width; k++) {
                double value = NAMED(value_of)(forest, tree + found[lane], width, k);
                add_to(sum + lane * n_outputs + k, value, rounds);
            }
        }
    }
}

/* The keys of one row, cast as the ensemble casts, and 0 after them; they stand `apart`. Returns what was met. */
ALWAYS_INLINE int
NAMED(copy_row)(const double *from, size_t n_features, KEY *to, size_t apart, int is_casting)
{
    const KEY nan = (KEY)-1, least = NAMED(key)(-INFINITY), greatest = NAMED(key)(INFINITY);
    KEY has_nan = 0, has_odd = 0;
    for (size_t feature = 0; feature < n_features; feature++) {
        KEY key = NAMED(key)(is_casting ? (NUMBER)(float)from[feature] : (NUMBER)from[feature]);
        has_nan |= key == nan;
        has_odd |= (key == least) | (key == greatest);
        to[feature * apart] = key;
    }
    to[n_features * apart] = 0;
    return (has_nan ? HAS_NAN : 0) | (has_odd ? HAS_ODD : 0);
}

/* Copy rows one by one, or LANES side by side, where the last lanes are filled up with a row once more. Returns
 * what was met. */
static int
NAMED(copy_rows)(const Forest *forest, const double *X, size_t n_rows, KEY *keys, int is_side_by_side)
{
    const size_t n_features = (size_t)forest->head.n_features, stride = n_features + 1;
    const int is_casting = (forest->head.flags & CASTS_TO_FLOAT32) != 0;
    int met = 0;
    if (!is_side_by_side) {
        for (size_t row = 0; row < n_rows; row++) {
            const double *from = X + row * n_features;
            KEY *to = keys + row * stride;
            met |= is_casting ? NAMED(copy_row)(from, n_features, to, 1, 1)
                              : NAMED(copy_row)(from, n_features, to, 1, 0);
        }
        return met;
    }
    for (size_t row = 0; row < n_rows || row % LANES != 0; row++) {
        const double *from = X + (row < n_rows ? row : 0) * n_features;
        KEY *to = keys + row / LANES * LANES * stride + row % LANES;
        met |= is_casting ? NAMED(copy_row)(from, n_features, to, LANES, 1)
                          : NAMED(copy_row)(from, n_features, to, LANES, 0);
    }
    return met;
}

/* A function each, so that the compiler keeps `tree` in one register. */
#define WALK_ROWS(name, kind)                                                                                      \
    static __attribute__((noinline)) void NAMED(name)(const Forest *forest, uint64_t number, const NODE *tree,     \
                                                      const KEY *keys, size_t n_rows, double *sums,           \
                                                      int32_t *leaves)                                            \
    {                                                                                                              \
        NAMED(walk_rows)(forest, number, tree, keys, n_rows, sums, leaves, kind);                                \
    }
WALK_ROWS(plain_rows, PLAIN)
WALK_ROWS(rows_with_missing, WITH_MISSING)
WALK_ROWS(rows_with_categories, WITH_CATEGORIES)
#undef WALK_ROWS

static void
NAMED(run_block)(const Forest *forest, const KEY *keys, size_t n_rows, double *sums, int32_t *leaves, int kind)
{
    const uint64_t n_trees = forest->head.n_trees, n_outputs = forest->head.n_outputs;
    if (n_rows < SIDE_BY_SIDE) {
        for (size_t row = 0; row < n_rows; row++) {
            const KEY *from = keys + row * ((size_t)forest->head.n_features + 1);
            double *sum = sums != NULL ? sums + row * n_outputs : NULL;
            int32_t *leaf = leaves != NULL ? leaves + row * n_trees : NULL;
            switch (kind) {
            case PLAIN: NAMED(walk_trees)(forest, from, sum, leaf, PLAIN); break;
            case WITH_MISSING: NAMED(walk_trees)(forest, from, sum, leaf, WITH_MISSING); break;
            default: NAMED(walk_trees)(forest, from, sum, leaf, WITH_CATEGORIES);
            }
        }
        return;
    }
    for (uint64_t number = 0; number < n_trees; number++) {
        const NODE *tree = (const NODE *)forest->nodes + forest->first[number];
        switch (kind) {
        case PLAIN: NAMED(plain_rows)(forest, number, tree, keys, n_rows, sums, leaves); break;
        case WITH_MISSING: NAMED(rows_with_missing)(forest, number, tree, keys, n_rows, sums, leaves); break;
        default: NAMED(rows_with_categories)(forest, number, tree, keys, n_rows, sums, leaves);
        }
    }
}

/* See run_forest. `keys` has room for `block_rows` rows (a multiple of LANES, or all of them) and a column. */
static int
NAMED(run)(const Forest *forest, const double *X, size_t n_rows, double *sums, int32_t *leaves, KEY *keys,
           size_t block_rows)
{
    const Header *head = &forest->head;
    for (size_t begin = 0; begin < n_rows; begin += block_rows) {
        size_t n = n_rows - begin < block_rows ? n_rows - begin : block_rows;
        const double *rows = X + begin * head->n_features;
        int met = NAMED(copy_rows)(forest, rows, n, keys, n >= SIDE_BY_SIDE);
        if (met & HAS_ODD || (met & HAS_NAN && !(head->flags & ALLOWS_MISSING))) {
            return 1;
        }
        if (head->flags & HAS_CATEGORIES && has_odd_category(forest, rows, n)) {
            return 1;
        }
        int kind = head->flags & HAS_CATEGORIES ? WITH_CATEGORIES : met & HAS_NAN ? WITH_MISSING : PLAIN;
        NAMED(run_block)(forest, keys, n, sums != NULL ? sums + begin * head->n_outputs : NULL,
                         leaves != NULL ? leaves + begin * head->n_trees : NULL, kind);
    }
    return 0;
}
