/* Running a linear model, row by row, each with a bound of its error. */
#include "_linear.h"

#include "_inline.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STACK_DOUBLES 1024

/* As many numbers as every processor has registers for. GCC and Clang both know this. */
typedef double Lanes __attribute__((vector_size(16)));
typedef int64_t Bits __attribute__((vector_size(16)));
#define N_LANES (sizeof(Lanes) / sizeof(double))
#define PARTS 4
#define STRIDE (PARTS * N_LANES)

typedef struct {
    double sum, size; /* of the products, and of what they are without their signs */
} Sums;

ALWAYS_INLINE Lanes
load(const double *numbers)
{
    Lanes some;
    memcpy(&some, numbers, sizeof some);
    return some;
}

ALWAYS_INLINE Lanes
without_sign(Lanes numbers)
{
    const Bits mask = {INT64_MAX, INT64_MAX};
    return (Lanes)((Bits)numbers & mask);
}

ALWAYS_INLINE Sums
products(const double *row, const double *weights, size_t n)
{
    Lanes sums[PARTS] = {{0}}, sizes[PARTS] = {{0}};
    size_t index = 0;
    for (; index + STRIDE <= n; index += STRIDE) {
        UNROLL for (size_t part = 0; part < PARTS; part++) {
            size_t at = index + part * N_LANES;
            Lanes product = load(row + at) * load(weights + at);
            sums[part] += product;
            sizes[part] += without_sign(product);
        }
    }
    for (; index + N_LANES <= n; index += N_LANES) {
        Lanes product = load(row + index) * load(weights + index);
        sums[0] += product;
        sizes[0] += without_sign(product);
    }
    Lanes sum = (sums[0] + sums[1]) + (sums[2] + sums[3]), size = (sizes[0] + sizes[1]) + (sizes[2] + sizes[3]);
    Sums found = {sum[0] + sum[1], size[0] + size[1]};
    if (index < n) {
        double product = row[index] * weights[index];
        found.sum += product;
        found.size += fabs(product);
    }
    return found;
}

static void
several(const Linear *linear, const double *row, double *scores)
{
    const double *weights = linear->weights;
    for (size_t group = 0; group < linear->width; group += GROUP) {
        Lanes sums[PARTS] = {{0}};
        for (size_t index = 0; index < linear->n_features; index++, weights += GROUP) {
            UNROLL for (size_t part = 0; part < PARTS; part++) {
                sums[part] += row[index] * load(weights + part * N_LANES);
            }
        }
        UNROLL for (size_t part = 0; part < PARTS; part++) {
            size_t at = group + part * N_LANES;
            sums[part] += load(linear->bias + at);
            memcpy(scores + at, &sums[part], sizeof sums[part]);
        }
    }
}

/* Compute one row's scores; returns how far each may be from another sum's: rule 1. Above `largest` it is infinite. */
ALWAYS_INLINE double
score(const Linear *linear, const double *row, double *scores)
{
    double size;
    if (linear->n_outputs == 1) {
        Sums found = products(row, linear->weights, linear->n_features);
        scores[0] = found.sum + linear->bias[0];
        size = found.size;
    } else {
        several(linear, row, scores);
        size = products(row, linear->most, linear->n_features).size;
    }
    size += linear->most_bias;
    if (!(size < linear->largest)) {
        return INFINITY; /* NaN, too */
    }
    /* Products that are too small for float64 lose as much as its smallest number each. */
    return 2 * (double)(linear->n_features + 2) * DBL_EPSILON * size + DBL_MIN;
}

ALWAYS_INLINE void
scale(const Linear *linear, const double *restrict row, double *restrict scaled)
{
    const size_t n = linear->n_features;
    const double *restrict minus = linear->minus, *restrict divide = linear->divide;
    if (minus != NULL && divide != NULL) {
        for (size_t index = 0; index < n; index++) {
            scaled[index] = (row[index] - minus[index]) / divide[index];
        }
    } else if (minus != NULL) {
        for (size_t index = 0; index < n; index++) {
            scaled[index] = row[index] - minus[index];
        }
    } else {
        for (size_t index = 0; index < n; index++) {
            scaled[index] = row[index] / divide[index];
        }
    }
}

/* Room for a scaled row and its scores: `near` if it is enough, else memory to be freed; NULL if there is none. */
static double *
make_room(const Linear *linear, double *near)
{
    size_t n = linear->n_features + linear->width;
    return n <= STACK_DOUBLES ? near : malloc(n * sizeof *near);
}

ALWAYS_INLINE const double *
prepare(const Linear *linear, const double *row, double *scaled)
{
    if (linear->minus == NULL && linear->divide == NULL) {
        return row;
    }
    scale(linear, row, scaled);
    return scaled;
}

/* Which score is the largest; -1 if that is not sure. */
ALWAYS_INLINE int64_t
winner(const double *scores, size_t n, double error)
{
    if (n == 1) {
        return fabs(scores[0]) > error ? scores[0] > 0 : -1;
    }
    size_t best = scores[1] > scores[0];
    double second = scores[1 - best];
    for (size_t index = 2; index < n; index++) {
        if (scores[index] > scores[best]) {
            second = scores[best];
            best = index;
        } else if (scores[index] > second) {
            second = scores[index];
        }
    }
    return scores[best] - second > 2 * error ? (int64_t)best : -1;
}

/* Write one row's scores; returns whether they are sure. */
ALWAYS_INLINE int
give(const double *scores, size_t n, double error, double *out)
{
    int is_sure = 1;
    for (size_t index = 0; index < n; index++) {
        is_sure &= error < 5e-10 * fabs(scores[index]); /* infinity is not below itself */
        out[index] = scores[index];
    }
    return is_sure;
}

/* Write one row's probabilities; returns whether they are sure. */
ALWAYS_INLINE int
give_probabilities(const double *scores, size_t n, double error, double *out)
{
    if (n == 1) {
        out[1] = 1 / (1 + exp(-scores[0]));
        out[0] = 1 - out[1];
        return error < 1e-10;
    }
    double most = scores[0], sum = 0;
    for (size_t index = 1; index < n; index++) {
        most = scores[index] > most ? scores[index] : most;
    }
    for (size_t index = 0; index < n; index++) {
        out[index] = exp(scores[index] - most);
        sum += out[index];
    }
    for (size_t index = 0; index < n; index++) {
        out[index] /= sum;
    }
    return error < 1e-10;
}

size_t
width_of_answer(const Linear *linear, Question question)
{
    return question == WINNERS ? 1 : question == PROBABILITIES && linear->n_outputs == 1 ? 2 : linear->n_outputs;
}

int
run_linear(const Linear *linear, const double *X, size_t n_rows, Question question, void *out)
{
    const size_t n_outputs = linear->n_outputs, width = width_of_answer(linear, question);
    double near[STACK_DOUBLES], *scaled = make_room(linear, near);
    if (scaled == NULL) {
        return 2;
    }
    double *scores = scaled + linear->n_features;
    int is_sure = 1;
    for (size_t row = 0; row < n_rows && is_sure; row++) {
        double error = score(linear, prepare(linear, X + row * linear->n_features, scaled), scores);
        if (question == WINNERS) {
            int64_t found = winner(scores, n_outputs, error);
            ((int64_t *)out)[row] = found;
            is_sure = found >= 0;
        } else if (question == SCORES) {
            is_sure = give(scores, n_outputs, error, (double *)out + row * width);
        } else {
            is_sure = give_probabilities(scores, n_outputs, error, (double *)out + row * width);
        }
    }
    if (scaled != near) {
        free(scaled);
    }
    return !is_sure;
}
