/* Finding the points nearest to a row, by a tree or among all, then letting them vote. */
#include "_neighbors.h"

#include "_inline.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAME 1e-11       /* relative: distances so near give weights so near */
#define CLOSE_CALL 1e-9  /* relative: votes by weight so near may fall out the other way */
#define HALF_EXACT 5e-10 /* relative: half of what an average may be off by */
#define PATIENCE 16      /* differences that are summed between two looks at the sum */

/* As many numbers as every processor has registers for. GCC and Clang both know these. */
typedef double Pair __attribute__((vector_size(16)));
typedef int64_t PairBits __attribute__((vector_size(16)));

typedef struct {
    double *heap;         /* the least distances so far, the greatest of them first */
    int32_t *nearest;     /* whose they are */
    double *sums, *sizes; /* of what the nearest say, and of its absolute values */
    double *distances;    /* of all points, where there is no tree */
} Scratch;

typedef struct {
    size_t n_sure;          /* points that are among the nearest beyond doubt */
    double nearest, weight; /* weight: the sum of all weights */
    int are_counts;         /* each weight is one, or zero */
} Votes;

/* Distances ------------------------------------------------------------------------------------------------------- */

ALWAYS_INLINE Pair
term(const double *x, const double *y, const int is_squared)
{
    Pair one, other;
    memcpy(&one, x, sizeof one);
    memcpy(&other, y, sizeof other);
    one -= other;
    return is_squared ? one * one : (Pair)((PairBits)one & INT64_MAX);
}

/* The sum of squared or absolute differences, or a part of it that is above `limit` already. */
ALWAYS_INLINE double
distance(const double *x, const double *y, size_t n, double limit, const int is_squared)
{
    Pair even = {0, 0}, odd = {0, 0};
    size_t index = 0;
    while (index + 4 <= n) {
        even += term(x + index, y + index, is_squared);
        odd += term(x + index + 2, y + index + 2, is_squared);
        index += 4;
        if (index % PATIENCE == 0 && even[0] + even[1] + odd[0] + odd[1] > limit) {
            break;
        }
    }
    double sum = even[0] + even[1] + odd[0] + odd[1];
    for (; index < n && sum <= limit; index++) {
        double apart = x[index] - y[index];
        sum += is_squared ? apart * apart : fabs(apart);
    }
    return sum;
}

double
length_of(const Neighbors *self, const double *x)
{
    double sum = 0;
    for (size_t index = 0; index < self->n_features; index++) {
        sum += self->is_squared ? x[index] * x[index] : fabs(x[index]);
    }
    return self->is_squared ? sqrt(sum) : sum;
}

/* By how much two distances must differ for every way of measuring them to agree on which is smaller.
 *
 * With u = DBL_EPSILON / 2 and n features, a sum of squared or absolute differences is off by (n + 3)u of itself, in
 * any order. A ball tree's bound is a difference of two lengths, each off by
 * (n / 2 + 3)u of at most |x| + |y|; |x|^2 - 2xy + |y|^2, as products of matrices give it, is off by (n + 4)u of
 * (|x| + |y|)^2. Both distances may be off, ours too: 4(n + 8) DBL_EPSILON is above all of it together.
 */
static double
doubt(const Neighbors *self, double longest)
{
    double n = (double)self->n_features;
    return 4 * (n + 8) * DBL_EPSILON * longest + n * DBL_MIN;
}

static void
empty(const Neighbors *self, const Scratch *scratch)
{
    for (size_t index = 0; index < self->n_neighbors; index++) {
        scratch->heap[index] = INFINITY;
        scratch->nearest[index] = 0;
    }
}

/* Put a nearer point in the place of the farthest. Which of two equally far is the farthest is scikit-learn's choice:
 * utils/_heap.pyx, heap_push. */
static void
replace_farthest(const Neighbors *self, const Scratch *scratch, double distance, size_t point)
{
    double *heap = scratch->heap;
    size_t place = 0;
    for (size_t child = 1; child < self->n_neighbors; child = 2 * place + 1) {
        child += child + 1 < self->n_neighbors && heap[child + 1] > heap[child];
        if (heap[child] <= distance) {
            break;
        }
        heap[place] = heap[child];
        scratch->nearest[place] = scratch->nearest[child];
        place = child;
    }
    heap[place] = distance;
    scratch->nearest[place] = (int32_t)point;
}

/* Measure all distances. Where one is beyond any doubt too large, a part of it will do. */
ALWAYS_INLINE void
measure(const Neighbors *self, const double *x, double margin, const Scratch *scratch, const int is_squared)
{
    size_t n = self->n_features;
    double limit = INFINITY;
    empty(self, scratch);
    for (size_t point = 0; point < self->n_points; point++) {
        double apart = distance(x, self->points + point * n, n, limit, is_squared);
        scratch->distances[point] = apart;
        if (apart < scratch->heap[0]) {
            replace_farthest(self, scratch, apart, point);
            limit = scratch->heap[0] + margin;
        }
    }
}

/* A k-d tree: neighbors/_kd_tree.pyx.tp, min_rdist; _binary_tree.pxi.tp, _query_single_depthfirst. ----------------- */

/* How near a row could be to any point of a node. The square is scikit-learn's too: pow's last bit is its own. */
static double
bound(const Neighbors *self, const double *x, size_t node)
{
    size_t n = self->n_features;
    const double *lower = self->tree.bounds + node * n, *upper = lower + self->tree.n_nodes * n;
    double sum = 0;
    for (size_t index = 0; index < n; index++) {
        double below = lower[index] - x[index], above = x[index] - upper[index];
        double apart = below > 0 ? below : above > 0 ? above : 0;
        sum += apart > 0 && self->is_squared ? pow(apart, self->two) : apart;
    }
    return sum;
}

static double
distance_in_order(const Neighbors *self, const double *x, const double *y)
{
    double sum = 0;
    for (size_t index = 0; index < self->n_features; index++) {
        double apart = x[index] - y[index];
        sum += self->is_squared ? apart * apart : fabs(apart);
    }
    return sum;
}

/* Look below a node, the nearer part of it first. No deeper than 31 calls: children have twice the number. */
static void
search(const Neighbors *self, const double *x, size_t node, double least, const Scratch *scratch)
{
    if (least > scratch->heap[0]) {
        return;
    }
    const Node *here = &self->tree.nodes[node];
    if (here->is_leaf) {
        for (int32_t place = here->begin; place < here->end; place++) {
            size_t point = (size_t)self->tree.order[place];
            double apart = distance_in_order(self, x, self->points + point * self->n_features);
            if (apart < scratch->heap[0]) {
                replace_farthest(self, scratch, apart, point);
            }
        }
        return;
    }
    size_t left = 2 * node + 1, right = left + 1;
    double left_least = bound(self, x, left), right_least = bound(self, x, right);
    if (left_least <= right_least) {
        search(self, x, left, left_least, scratch);
        search(self, x, right, right_least, scratch);
    } else {
        search(self, x, right, right_least, scratch);
        search(self, x, left, left_least, scratch);
    }
}

/* Votes ----------------------------------------------------------------------------------------------------------- */

/* What a point says counts once, or 1 / distance; where some distance is zero, those points alone. */
static double
weigh(const Neighbors *self, double distance, const Votes *votes)
{
    if (!self->is_weighted) {
        return 1;
    }
    if (votes->nearest == 0) {
        return distance == 0;
    }
    return 1 / (self->is_squared ? sqrt(distance) : distance);
}

static void
add_vote(const Neighbors *self, size_t point, double distance, const Scratch *scratch, Votes *votes)
{
    double weight = weigh(self, distance, votes);
    votes->weight += weight;
    if (self->labels != NULL) {
        scratch->sums[self->labels[point]] += weight;
        return;
    }
    for (size_t output = 0; output < self->n_outputs; output++) {
        double value = self->targets[point * self->n_outputs + output] * weight;
        scratch->sums[output] += value;
        scratch->sizes[output] += fabs(value);
    }
}

static int
vote_alike(const Neighbors *self, size_t one, size_t other)
{
    if (self->labels != NULL) {
        return self->labels[one] == self->labels[other];
    }
    size_t n = self->n_outputs;
    return memcmp(self->targets + one * n, self->targets + other * n, n * sizeof *self->targets) == 0;
}

/* Count the points that are among the k nearest whatever the doubt; -1 if the answer depends on who else is. */
static int
divide(const Neighbors *self, double kth, double margin, const double *distances, Votes *votes)
{
    size_t n_equal = 0, first = 0;
    double least = INFINITY, most = 0;
    int are_alike = 1;
    *votes = (Votes){.nearest = INFINITY};
    for (size_t point = 0; point < self->n_points; point++) {
        double apart = distances[point];
        if (apart > kth + margin) {
            continue;
        }
        votes->nearest = apart < votes->nearest ? apart : votes->nearest;
        if (apart < kth - margin) {
            votes->n_sure++;
            continue;
        }
        first = n_equal++ == 0 ? point : first;
        are_alike = are_alike && vote_alike(self, first, point);
        least = apart < least ? apart : least;
        most = apart > most ? apart : most;
    }
    if (votes->n_sure + n_equal == self->n_neighbors) {
        return 0;
    }
    return are_alike && (!self->is_weighted || most - least <= SAME * least) ? 0 : -1;
}

/* Clear the votes, before the first. */
static void
begin(const Neighbors *self, const Scratch *scratch, Votes *votes)
{
    memset(scratch->sums, 0, 2 * self->n_outputs * sizeof *scratch->sums);
    votes->are_counts = !self->is_weighted || votes->nearest == 0;
    votes->weight = 0;
}

/* Let those vote that a tree has found. */
static void
collect_found(const Neighbors *self, const Scratch *scratch, Votes *votes)
{
    votes->nearest = INFINITY;
    for (size_t index = 0; index < self->n_neighbors; index++) {
        votes->nearest = scratch->heap[index] < votes->nearest ? scratch->heap[index] : votes->nearest;
    }
    begin(self, scratch, votes);
    for (size_t index = 0; index < self->n_neighbors; index++) {
        add_vote(self, (size_t)scratch->nearest[index], scratch->heap[index], scratch, votes);
    }
}

/* Let the k nearest of all points vote; 1 if it depends on which of the equally near they are. */
static int
collect(const Neighbors *self, double margin, const Scratch *scratch, Votes *votes)
{
    const double *distances = scratch->distances, kth = scratch->heap[0];
    if (divide(self, kth, margin, distances, votes) < 0) {
        return 1;
    }
    begin(self, scratch, votes);
    size_t n_missing = self->n_neighbors - votes->n_sure;
    for (size_t point = 0; point < self->n_points; point++) {
        int is_sure = distances[point] < kth - margin;
        if (distances[point] > kth + margin || (!is_sure && n_missing == 0)) {
            continue;
        }
        n_missing -= !is_sure;
        add_vote(self, point, distances[point], scratch, votes);
    }
    return 0;
}

/* Whether a sum is as good as exact however it is summed: terms of both signs may leave little of each other. */
static int
is_certain(const Neighbors *self, double sum, double size, const Votes *votes)
{
    if (self->labels != NULL || (votes->are_counts && (self->is_whole || self->n_neighbors <= 2))) {
        return 1;
    }
    double n = (double)self->n_neighbors + (votes->are_counts ? 8 : 8 + (double)self->n_features);
    return n * DBL_EPSILON * size <= HALF_EXACT * fabs(sum);
}

static int
average(const Neighbors *self, const Votes *votes, const Scratch *scratch, double *out)
{
    for (size_t output = 0; output < self->n_outputs; output++) {
        if (!is_certain(self, scratch->sums[output], scratch->sizes[output], votes)) {
            return 1;
        }
        out[output] = scratch->sums[output] / votes->weight;
    }
    return 0;
}

/* The lowest of the labels with the most votes. */
static int
elect(const Neighbors *self, const Votes *votes, const Scratch *scratch, int32_t *out)
{
    double most = -1, second = -1;
    for (size_t label = 0; label < self->n_outputs; label++) {
        double sum = scratch->sums[label];
        if (sum > most) {
            second = most;
            most = sum;
            *out = (int32_t)label;
        } else if (sum > second) {
            second = sum;
        }
    }
    return !votes->are_counts && most - second <= CLOSE_CALL * most;
}

/* Find the nearest and let them vote; 1 if a row cannot be answered. */
static int
ask(const Neighbors *self, const double *x, const Scratch *scratch, Votes *votes)
{
    double longest = length_of(self, x) + self->reach;
    longest = self->is_squared ? longest * longest : longest;
    if (!(longest < LARGEST)) { /* NaN is not */
        return 1;
    }
    if (self->tree.n_nodes) {
        empty(self, scratch);
        search(self, x, 0, 0, scratch);
        collect_found(self, scratch, votes);
        return 0;
    }
    double margin = doubt(self, longest);
    if (self->is_squared) {
        measure(self, x, margin, scratch, 1);
    } else {
        measure(self, x, margin, scratch, 0);
    }
    return collect(self, margin, scratch, votes);
}

int
run_neighbors(const Neighbors *self, const double *X, size_t n_rows, double *averages, int32_t *labels)
{
    size_t n_numbers = 2 * self->n_neighbors + 2 * self->n_outputs + (self->tree.n_nodes ? 0 : self->n_points);
    double *memory = malloc(n_numbers * sizeof *memory);
    if (memory == NULL) {
        return 2;
    }
    Scratch scratch = {.heap = memory, .nearest = (int32_t *)(memory + self->n_neighbors)};
    scratch.sums = memory + 2 * self->n_neighbors;
    scratch.sizes = scratch.sums + self->n_outputs;
    scratch.distances = scratch.sizes + self->n_outputs;
    int result = 0;
    for (size_t row = 0; row < n_rows && result == 0; row++) {
        Votes votes;
        result = ask(self, X + row * self->n_features, &scratch, &votes);
        if (result == 0) {
            result = labels != NULL ? elect(self, &votes, &scratch, labels + row)
                                    : average(self, &votes, &scratch, averages + row * self->n_outputs);
        }
    }
    free(memory);
    return result;
}
