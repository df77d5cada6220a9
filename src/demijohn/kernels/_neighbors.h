/* Neighbors: what the k points nearest to a row vote for, or their mean.
 *
 * Rules of this room:
 * 1. With a k-d tree, its owner's very steps are taken: the same sums in the same order, the same order of points, so
 *    that of equally near points the same are taken.
 * 2. Without one, whoever is to be agreed with measures the same distances with other rounding. By how much at most
 *    is known (see `doubt`); points whose distances differ by less than that count as equally near. A row is answered
 *    only if every choice among the equally near gives the same answer.
 * 3. Points and targets are not copied: they are the caller's arrays, held as buffers.
 */
#ifndef DEMIJOHN_NEIGHBORS_H
#define DEMIJOHN_NEIGHBORS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#define LARGEST 1e100 /* of lengths, squared: beyond, sums may overflow elsewhere */

/* Of a search tree. Node i is over the points order[nodes[i].begin:nodes[i].end]; its parts are 2i + 1 and 2i + 2. */
typedef struct {
    int32_t begin, end, is_leaf;
} Node;

typedef struct {
    size_t n_nodes; /* none: there is no tree */
    const int32_t *order;
    const Node *nodes;
    const double *bounds; /* (2, n_nodes, n_features): the least of each feature, then the greatest */
} SearchTree;

typedef struct {
    size_t n_points, n_features, n_outputs, n_neighbors;
    const double *points, *targets; /* targets: (n_points, n_outputs), or NULL where there are labels */
    const int32_t *labels;          /* below n_outputs */
    SearchTree tree;
    double two;                            /* 2, which no compiler may know: it would not call pow then */
    double reach;                          /* the greatest length of a point */
    int is_squared, is_weighted, is_whole; /* is_whole: sums of targets are exact in any order */
} Neighbors;

/* The length of a row or point, as its distances are measured. */
double length_of(const Neighbors *self, const double *x);

/* Answer rows: by label where `labels` is given, else by average. Needs no GIL. Returns 0; 1 if a row cannot be
 * answered; 2 if there is no memory. */
int run_neighbors(const Neighbors *self, const double *X, size_t n_rows, double *averages, int32_t *labels);

extern PyType_Spec neighbors_spec;

#endif
