/* What _forest.h says of a block: where its sections stand, and the check before it is believed. */
#include "_forest.h"

static const char MAGIC[8] = {'D', 'J', 'F', 'O', 'R', 'E', 'S', 'T'};

#define VERSION 1
#define STRAIGHT 10 /* trees so shallow are walked to their end: cheaper than asking, at each step, who moved */
#define BYTE_ORDER_MARK 0x01020304u
#define MAX_COUNT ((uint64_t)1 << 31)
#define MAX_NUMBERS ((uint64_t)1 << 40) /* so that sums of sizes cannot overflow 64 bits */

char *
allocate_block(size_t n_bytes, void **own)
{
    *own = PyMem_Calloc(1, n_bytes + LINE_BYTES);
    if (*own == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    return (char *)*own + (LINE_BYTES - (uintptr_t)*own % LINE_BYTES) % LINE_BYTES;
}

static uint64_t
take(uint64_t *at, uint64_t n_bytes)
{
    uint64_t begin = *at;
    *at = (begin + n_bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    return begin;
}

int
lay_out(Forest *forest, const char *block)
{
    Header *head = &forest->head;
    if (head->n_nodes >= MAX_COUNT || head->n_trees >= MAX_COUNT || head->n_features >= MAX_COUNT ||
        head->n_outputs >= MAX_COUNT || head->width >= MAX_COUNT || head->n_leaves >= MAX_COUNT ||
        head->n_categories >= MAX_COUNT || head->n_leaves * head->width >= MAX_NUMBERS) {
        PyErr_SetString(PyExc_ValueError, "The ensemble is too large for the kernel.");
        return -1;
    }
    int has_flags = (head->flags & (ALLOWS_MISSING | HAS_CATEGORIES)) != 0;
    uint64_t node_bytes = head->flags & IS_NARROW ? sizeof(NarrowNode) : sizeof(WideNode);
    uint64_t known = head->flags & HAS_CATEGORIES ? head->n_features : 0;
    uint64_t at = 0;
    take(&at, sizeof(Header));
    forest->block = block;
    forest->nodes = block + take(&at, head->n_nodes * node_bytes);
    forest->values = (const double *)(block + take(&at, head->n_leaves * head->width * 8));
    forest->start = (const double *)(block + take(&at, head->n_outputs * 8));
    forest->known_categories = (const uint32_t *)(block + take(&at, known * CATEGORY_WORDS * 4));
    forest->left_categories = (const uint32_t *)(block + take(&at, head->n_categories * CATEGORY_WORDS * 4));
    forest->first = (const uint32_t *)(block + take(&at, (head->n_trees + 1) * 4));
    forest->column = (const uint32_t *)(block + take(&at, head->n_trees * 4));
    forest->original = (const int32_t *)(block + take(&at, head->n_nodes * 4));
    forest->node_flags = (const uint8_t *)(block + take(&at, has_flags ? head->n_nodes : 0));
    memcpy(head->magic, MAGIC, sizeof MAGIC);
    head->version = VERSION;
    head->byte_order = BYTE_ORDER_MARK;
    head->n_bytes = at;
    return 0;
}

static int
refuse(const char *why)
{
    PyErr_Format(PyExc_ValueError, "This is no packed forest: %s.", why);
    return -1;
}

static int
check_head(const Header *head, size_t n_bytes)
{
    if (n_bytes < sizeof *head || memcmp(head->magic, MAGIC, sizeof MAGIC) != 0) {
        return refuse("it does not begin like one");
    }
    if (head->version != VERSION || head->byte_order != BYTE_ORDER_MARK) {
        return refuse("it is of another version or machine");
    }
    if (head->n_features == 0 || head->width == 0 || head->width > head->n_outputs) {
        return refuse("its counts contradict each other");
    }
    if (head->flags & IS_NARROW &&
        (head->flags & HAS_CATEGORIES || !(head->flags & CASTS_TO_FLOAT32) || head->n_features > NARROW_MAX_FEATURES)) {
        return refuse("its flags contradict each other");
    }
    return 0;
}

/* One node, in the terms of both forms. */
typedef struct {
    uint64_t child, feature, number; /* number: the threshold */
} Node;

static Node
node_at(const Forest *forest, uint64_t index)
{
    Node node;
    if (forest->head.flags & IS_NARROW) {
        NarrowNode narrow = ((const NarrowNode *)forest->nodes)[index];
        node.child = narrow.link >> 8;
        node.feature = narrow.link & 255;
        node.number = narrow.threshold;
    } else {
        WideNode wide = ((const WideNode *)forest->nodes)[index];
        node.number = wide.threshold;
        node.child = wide.child;
        node.feature = wide.feature;
    }
    return node;
}

/* Whether a leaf's threshold is its value itself, and no row of `values`. */
static int
holds_values(const Forest *forest)
{
    return !(forest->head.flags & IS_NARROW) && forest->head.width == 1;
}

static int
check_tree(Forest *forest, uint64_t tree, uint32_t *depths)
{
    const Header *head = &forest->head;
    uint64_t begin = forest->first[tree], n_nodes = forest->first[tree + 1] - begin;
    Depths found = {UINT32_MAX, 0};
    memset(depths, 255, n_nodes * sizeof *depths); /* those that no parent leads to keep this */
    depths[0] = 0;
    for (uint64_t index = 0; index < n_nodes; index++) {
        Node node = node_at(forest, begin + index);
        int by_category = head->flags & HAS_CATEGORIES && forest->node_flags[begin + index] & BY_CATEGORY;
        if (node.feature == head->n_features) {
            if (node.child != index || by_category || (!holds_values(forest) && node.number >= head->n_leaves)) {
                return refuse("a leaf leads somewhere");
            }
            if (depths[index] != UINT32_MAX) {
                found.shortest = depths[index] < found.shortest ? depths[index] : found.shortest;
                found.longest = depths[index] > found.longest ? depths[index] : found.longest;
            }
            continue;
        }
        if (node.feature > head->n_features || node.child <= index || node.child + 1 >= n_nodes) {
            return refuse("a split leads outside its tree");
        }
        if (by_category) {
            if (node.number >= head->n_categories) {
                return refuse("a split has no categories");
            }
            forest->is_category[node.feature] = 1;
        }
        for (uint64_t child = node.child; child <= node.child + 1 && depths[index] != UINT32_MAX; child++) {
            /* the longest way, where a broken block has several: a walk must not end before a leaf */
            if (depths[child] == UINT32_MAX || depths[child] < depths[index] + 1) {
                depths[child] = depths[index] + 1;
            }
        }
    }
    if (found.longest <= STRAIGHT) {
        found.shortest = found.longest;
    }
    forest->depths[tree] = found;
    return 0;
}

static int
check_trees(Forest *forest)
{
    const Header *head = &forest->head;
    uint64_t largest = 0;
    if (forest->first[0] != 0 || forest->first[head->n_trees] != head->n_nodes) {
        return refuse("its trees do not add up");
    }
    for (uint64_t tree = 0; tree < head->n_trees; tree++) {
        if (forest->first[tree] >= forest->first[tree + 1] || forest->first[tree + 1] > head->n_nodes) {
            return refuse("its trees do not add up");
        }
        if (forest->column[tree] + head->width > head->n_outputs) {
            return refuse("a tree adds to outputs that are not there");
        }
        uint64_t n_nodes = forest->first[tree + 1] - forest->first[tree];
        largest = n_nodes > largest ? n_nodes : largest;
    }
    uint32_t *depths = PyMem_Malloc(largest * sizeof *depths + 1);
    if (depths == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int result = 0;
    for (uint64_t tree = 0; tree < head->n_trees && result == 0; tree++) {
        result = check_tree(forest, tree, depths);
    }
    PyMem_Free(depths);
    return result;
}

int
open_block(Forest *forest, const char *block, size_t n_bytes)
{
    memset(forest, 0, sizeof *forest);
    if (n_bytes >= sizeof forest->head) {
        memcpy(&forest->head, block, sizeof forest->head);
    }
    if (check_head(&forest->head, n_bytes) < 0) {
        return -1;
    }
    uint64_t said = forest->head.n_bytes;
    if (lay_out(forest, block) < 0) {
        return -1;
    }
    if (forest->head.n_bytes != n_bytes || said != n_bytes) {
        return refuse("it is cut short, or goes on after its end");
    }
    forest->depths = PyMem_Calloc(forest->head.n_trees + 1, sizeof *forest->depths);
    forest->is_category = PyMem_Calloc(forest->head.n_features, 1);
    if (forest->depths == NULL || forest->is_category == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return check_trees(forest);
}

void
close_block(Forest *forest)
{
    PyMem_Free(forest->depths);
    PyMem_Free(forest->is_category);
    forest->depths = NULL;
    forest->is_category = NULL;
}
