/* A linear model in float64: scores (x - minus) / divide @ weights + bias, their probabilities, the largest of them.
 *
 * Rules of this room:
 * 1. A sum in another order than BLAS's has other last bits. So each row is bounded: two sums of n products and a
 *    bias, in any order, fused or not, are at most 2 * (n + 2) * 2^-53 * (sum |product| + |bias|) apart, and we
 *    allow for twice that. Several outputs have one bound, made of each feature's largest weight. Only what such a
 *    difference cannot change, or changes by no more than its question allows, is answered.
 * 2. The scaling is numpy's own operations, one by one, so its result is the same to the last bit.
 * 3. What is NaN or infinite makes the bound NaN or infinite, even where it meets a zero: it is not answered. Nor
 *    is what makes the bound's sum reach `largest`.
 *
 * Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1.
 */
#ifndef DEMIJOHN_LINEAR_H
#define DEMIJOHN_LINEAR_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#define GROUP 8 /* outputs that are summed at a time; every row of scores has room for whole ones */

typedef struct {
    size_t n_features, n_outputs, width; /* width: n_outputs in whole groups */
    double largest;
    double *weights;        /* one output: (n_features,); several: by groups (n_groups, n_features, GROUP) */
    double *bias;           /* (width,) */
    double *most;           /* (n_features,): the largest |weight| of each feature */
    double most_bias;       /* the largest |bias| */
    double *minus, *divide; /* (n_features,), or NULL where nothing is done */
} Linear;

/* What is asked of a row, and what an answer must be sure of. */
typedef enum {
    SCORES,        /* out: (n_rows, n_outputs) float64: within 5e-10 of each score, half of what parity allows */
    PROBABILITIES, /* out: (n_rows, max(2, n_outputs)) float64: softmax of scores that are within 1e-10 as such; of one
                      output what it leaves of 1, and its logistic function */
    WINNERS,       /* out: (n_rows,) int64: which score is the largest; of one output, whether it is positive */
} Question;

/* Numbers for each row. */
size_t width_of_answer(const Linear *linear, Question question);

/* Returns 0; 1 if some row is not answered; 2 if there is no memory. Needs no GIL. */
int run_linear(const Linear *linear, const double *X, size_t n_rows, Question question, void *out);

extern PyType_Spec linear_spec;

#endif
