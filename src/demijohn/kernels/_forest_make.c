/* From an ensemble's arrays to a block: its nodes in a new order, in which a walk meets few cache lines.
 *
 * A line of the cache (64 bytes) is filled with a pair of siblings, their children, and so on, so that one
 * miss pays for two levels (three at the root). A new line begins where the next pair's subtree would not
 * fit into the rest of this one.
 */
#include "_forest.h"

#include <float.h>
#include <math.h>

typedef struct {
    const Arrays *arrays;
    int64_t n_nodes;  /* in the arrays */
    int64_t n_leaves; /* rows of `values` */
    int per_line;     /* nodes per line of the cache */
    int32_t *n_pairs; /* per node: pairs of siblings below it; -1: not reached yet */
    int32_t *queue;   /* n_nodes: scratch */
    int32_t *order;   /* new to original number; -1: padding */
    uint32_t *child;  /* new number: the new number of its left child, within the tree; itself at leaves */
    size_t n_placed, capacity;
} Maker;

#define AT(buffer, type, index) (((const type *)(buffer).buf)[index])

static int
refuse(const char *why)
{
    PyErr_Format(PyExc_ValueError, "These arrays are no ensemble: %s.", why);
    return -1;
}

static int
check_node(const Maker *maker, int32_t node)
{
    const Arrays *arrays = maker->arrays;
    int32_t left = AT(arrays->left, int32_t, node), right = AT(arrays->right, int32_t, node);
    if (left == -1 && right == -1) {
        int32_t leaf = AT(arrays->leaf, int32_t, node);
        return leaf < 0 || leaf >= maker->n_leaves ? refuse("a leaf has no values") : 0;
    }
    if (left < 0 || left >= maker->n_nodes || right < 0 || right >= maker->n_nodes) {
        return refuse("a split leads outside");
    }
    int32_t feature = AT(arrays->feature, int32_t, node);
    if (feature < 0 || feature >= arrays->n_features) {
        return refuse("a split is on a feature that is not there");
    }
    if (arrays->categorical.obj != NULL && AT(arrays->categorical, int32_t, node) >= 0) {
        int32_t row = AT(arrays->categorical, int32_t, node);
        return row >= arrays->left_categories.shape[0] ? refuse("a split has no categories") : 0;
    }
    return isnan(AT(arrays->threshold, double, node)) ? refuse("a threshold is NaN") : 0;
}

static int
is_leaf(const Maker *maker, int32_t node)
{
    return AT(maker->arrays->left, int32_t, node) < 0;
}

/* Check a tree's nodes and count the pairs below each; the number of its nodes, or -1. */
static int64_t
measure_tree(Maker *maker, int32_t root)
{
    int64_t n_found = 0;
    if (root < 0 || root >= maker->n_nodes) {
        return refuse("a root is not there");
    }
    if (maker->n_pairs[root] >= 0) {
        return refuse("a node stands in two places");
    }
    maker->n_pairs[root] = 0;
    maker->queue[n_found++] = root;
    for (int64_t at = 0; at < n_found; at++) {
        int32_t node = maker->queue[at];
        if (check_node(maker, node) < 0) {
            return -1;
        }
        if (is_leaf(maker, node)) {
            continue;
        }
        int32_t children[2] = {AT(maker->arrays->left, int32_t, node), AT(maker->arrays->right, int32_t, node)};
        for (int side = 0; side < 2; side++) {
            if (maker->n_pairs[children[side]] >= 0) {
                return refuse("a node stands in two places");
            }
            maker->n_pairs[children[side]] = 0;
            maker->queue[n_found++] = children[side];
        }
    }
    for (int64_t at = n_found - 1; at >= 0; at--) { /* children stand after their parents */
        int32_t node = maker->queue[at];
        if (!is_leaf(maker, node)) {
            maker->n_pairs[node] = 1 + maker->n_pairs[AT(maker->arrays->left, int32_t, node)] +
                                   maker->n_pairs[AT(maker->arrays->right, int32_t, node)];
        }
    }
    return n_found;
}

static int
place(Maker *maker, int32_t node, size_t begin)
{
    if (maker->n_placed == maker->capacity) {
        size_t capacity = maker->capacity * 2;
        int32_t *order = PyMem_Realloc(maker->order, capacity * sizeof *order);
        maker->order = order != NULL ? order : maker->order;
        uint32_t *child = PyMem_Realloc(maker->child, capacity * sizeof *child);
        maker->child = child != NULL ? child : maker->child;
        if (order == NULL || child == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        maker->capacity = capacity;
    }
    if (maker->n_placed - begin >= INT32_MAX) {
        return refuse("a tree is too large");
    }
    maker->order[maker->n_placed] = node;
    maker->child[maker->n_placed] = (uint32_t)(maker->n_placed - begin);
    maker->n_placed++;
    return 0;
}

static size_t
room_in_line(const Maker *maker)
{
    size_t used = maker->n_placed % maker->per_line;
    return used == 0 ? 0 : maker->per_line - used;
}

/* Place the pairs below `parent` (a new number) until the line is full; push the parents of those left. */
static int
place_line(Maker *maker, size_t begin, size_t parent, int64_t *n_pending)
{
    size_t waiting[16], n_waiting = 1, at = 0;
    size_t room = room_in_line(maker);
    size_t needed = 2 * (size_t)maker->n_pairs[maker->order[parent]];
    waiting[0] = parent;
    while (room > 0 && room < needed && begin != parent) {
        if (place(maker, -1, begin) < 0) {
            return -1;
        }
        room--;
    }
    room = room == 0 ? (size_t)maker->per_line : room;
    for (; at < n_waiting && room >= 2; room -= 2) {
        size_t above = waiting[at++], first = maker->n_placed;
        int32_t node = maker->order[above];
        int32_t children[2] = {AT(maker->arrays->left, int32_t, node), AT(maker->arrays->right, int32_t, node)};
        maker->child[above] = (uint32_t)(first - begin);
        for (int side = 0; side < 2; side++) {
            if (place(maker, children[side], begin) < 0) {
                return -1;
            }
            if (!is_leaf(maker, children[side])) {
                waiting[n_waiting++] = first + side; /* at most 2 per pair placed: 1 + 4 * 2 < 16 */
            }
        }
    }
    while (n_waiting > at) {
        maker->queue[(*n_pending)++] = (int32_t)(waiting[--n_waiting] - begin);
    }
    return 0;
}

static int
place_tree(Maker *maker, int32_t root)
{
    int64_t n_pending = 0;
    while (room_in_line(maker) > 0) { /* padding belongs to the tree before: a leaf nothing leads to */
        if (place(maker, -1, 0) < 0) {
            return -1;
        }
    }
    size_t begin = maker->n_placed;
    if (place(maker, root, begin) < 0) {
        return -1;
    }
    if (!is_leaf(maker, root)) {
        if (place(maker, -1, begin) < 0) { /* so that pairs stand at even places */
            return -1;
        }
        maker->queue[n_pending++] = 0;
    }
    while (n_pending > 0) {
        if (place_line(maker, begin, begin + maker->queue[--n_pending], &n_pending) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The largest float32 that is at most `threshold`. */
static float
round_down(double threshold)
{
    if (threshold >= FLT_MAX) {
        return FLT_MAX; /* rows hold nothing larger: what would round to infinity is refused */
    }
    if (threshold < -FLT_MAX) {
        return -INFINITY;
    }
    float rounded = (float)threshold;
    return (double)rounded > threshold ? nextafterf(rounded, -INFINITY) : rounded;
}

static void
write_node(const Maker *maker, const Forest *forest, size_t index, uint32_t child)
{
    const Arrays *arrays = maker->arrays;
    int32_t node = maker->order[index];
    int is_end = node < 0 || is_leaf(maker, node);
    int has_flags = (forest->head.flags & (ALLOWS_MISSING | HAS_CATEGORIES)) != 0;
    int32_t category = -1;
    if (!is_end && arrays->categorical.obj != NULL) {
        category = AT(arrays->categorical, int32_t, node);
    }
    uint32_t feature = is_end ? (uint32_t)arrays->n_features : (uint32_t)AT(arrays->feature, int32_t, node);
    uint64_t number = node >= 0 && is_end ? (uint64_t)AT(arrays->leaf, int32_t, node) : 0;
    double threshold = is_end ? 0.0 : AT(arrays->threshold, double, node);
    ((int32_t *)forest->original)[index] = node;
    if (has_flags && !is_end) {
        uint8_t flags = AT(arrays->missing_left, uint8_t, node) ? MISSING_LEFT : 0;
        ((uint8_t *)forest->node_flags)[index] = flags | (category >= 0 ? BY_CATEGORY : 0);
    }
    if (forest->head.flags & IS_NARROW) {
        NarrowNode narrow = {is_end ? (uint32_t)number : narrow_key(round_down(threshold)), child << 8 | feature};
        ((NarrowNode *)forest->nodes)[index] = narrow;
        return;
    }
    if (is_end && node >= 0 && forest->head.width == 1) {
        memcpy(&number, &AT(arrays->values, double, number), sizeof number);
    } else if (category >= 0) {
        number = (uint64_t)category;
    } else if (!is_end) {
        number = wide_key(threshold);
    }
    WideNode wide = {number, child, feature};
    ((WideNode *)forest->nodes)[index] = wide;
}

static void
copy(const void *to, const Py_buffer *from)
{
    if (from->obj != NULL && from->len > 0) {
        memcpy((void *)to, from->buf, (size_t)from->len);
    }
}

static char *
write_block(const Maker *maker, const uint32_t *first, Forest *forest, void **own, size_t *n_bytes)
{
    const Arrays *arrays = maker->arrays;
    forest->head.n_nodes = maker->n_placed;
    if (lay_out(forest, NULL) < 0) {
        return NULL;
    }
    *n_bytes = forest->head.n_bytes;
    char *block = allocate_block(*n_bytes, own);
    if (block == NULL || lay_out(forest, block) < 0) {
        return NULL;
    }
    memcpy(block, &forest->head, sizeof forest->head);
    copy(forest->values, &arrays->values);
    copy(forest->start, &arrays->start);
    copy(forest->column, &arrays->column);
    copy(forest->left_categories, &arrays->left_categories);
    copy(forest->known_categories, &arrays->known_categories);
    memcpy((void *)forest->first, first, (forest->head.n_trees + 1) * sizeof *first);
    for (uint64_t tree = 0; tree < forest->head.n_trees; tree++) {
        for (size_t index = first[tree]; index < first[tree + 1]; index++) {
            /* padding between two trees was placed as if from the block's begin */
            uint32_t child = maker->order[index] < 0 ? (uint32_t)(index - first[tree]) : maker->child[index];
            write_node(maker, forest, index, child);
        }
    }
    return block;
}

static int
place_trees(Maker *maker, uint32_t *first, Forest *forest)
{
    const Arrays *arrays = maker->arrays;
    int64_t largest = 0;
    for (uint64_t tree = 0; tree < forest->head.n_trees; tree++) {
        int64_t n_found = measure_tree(maker, AT(arrays->roots, int32_t, tree));
        if (n_found < 0) {
            return -1;
        }
        largest = n_found > largest ? n_found : largest;
    }
    /* padding at most makes four of one */
    if (arrays->is_casting && arrays->categorical.obj == NULL && arrays->n_features <= NARROW_MAX_FEATURES &&
        largest < NARROW_MAX_NODES / 8) {
        forest->head.flags |= IS_NARROW;
    }
    maker->per_line = LINE_BYTES / (forest->head.flags & IS_NARROW ? sizeof(NarrowNode) : sizeof(WideNode));
    for (uint64_t tree = 0; tree < forest->head.n_trees; tree++) {
        if (place_tree(maker, AT(arrays->roots, int32_t, tree)) < 0) {
            return -1;
        }
        if (maker->n_placed >= INT32_MAX) {
            return refuse("there are too many nodes");
        }
        first[tree + 1] = (uint32_t)maker->n_placed;
    }
    return 0;
}

/* A tree's first node stands at the line after the padding, which the tree before keeps. */
static void
begin_on_lines(uint32_t *first, uint64_t n_trees, uint32_t per_line)
{
    for (uint64_t tree = 1; tree < n_trees; tree++) {
        first[tree] = (first[tree] + per_line - 1) / per_line * per_line;
    }
}

char *
make_block(const Arrays *arrays, void **own, size_t *n_bytes)
{
    Forest forest;
    Maker maker;
    char *block = NULL;
    memset(&forest, 0, sizeof forest);
    memset(&maker, 0, sizeof maker);
    forest.head.n_trees = (uint64_t)arrays->roots.shape[0];
    forest.head.n_features = (uint64_t)arrays->n_features;
    forest.head.n_outputs = (uint64_t)arrays->start.shape[0];
    forest.head.width = (uint64_t)arrays->values.shape[1];
    forest.head.n_leaves = (uint64_t)arrays->values.shape[0];
    forest.head.flags = (arrays->is_casting ? CASTS_TO_FLOAT32 : 0) | (arrays->allows_missing ? ALLOWS_MISSING : 0) |
                        (arrays->sums_in_float32 ? SUMS_IN_FLOAT32 : 0);
    if (arrays->categorical.obj != NULL) {
        forest.head.flags |= HAS_CATEGORIES;
        forest.head.n_categories = (uint64_t)arrays->left_categories.shape[0];
    }
    maker.arrays = arrays;
    maker.n_nodes = arrays->left.shape[0];
    maker.n_leaves = arrays->values.shape[0];
    maker.capacity = 2 * (size_t)maker.n_nodes + 64;
    maker.n_pairs = PyMem_Malloc((size_t)maker.n_nodes * sizeof *maker.n_pairs + 1);
    maker.queue = PyMem_Malloc((size_t)maker.n_nodes * sizeof *maker.queue + 1);
    maker.order = PyMem_Malloc(maker.capacity * sizeof *maker.order);
    maker.child = PyMem_Malloc(maker.capacity * sizeof *maker.child);
    uint32_t *first = PyMem_Calloc(forest.head.n_trees + 1, sizeof *first);
    if (maker.n_pairs == NULL || maker.queue == NULL || maker.order == NULL || maker.child == NULL || first == NULL) {
        PyErr_NoMemory();
    } else {
        memset(maker.n_pairs, 255, (size_t)maker.n_nodes * sizeof *maker.n_pairs);
        if (place_trees(&maker, first, &forest) == 0) {
            begin_on_lines(first, forest.head.n_trees, (uint32_t)maker.per_line);
            block = write_block(&maker, first, &forest, own, n_bytes);
        }
    }
    PyMem_Free(maker.n_pairs);
    PyMem_Free(maker.queue);
    PyMem_Free(maker.order);
    PyMem_Free(maker.child);
    PyMem_Free(first);
    return block;
}
