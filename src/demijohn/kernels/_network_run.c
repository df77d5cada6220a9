/* Running a network: two rows at a time, so that each weight is read once for both. */
#include "_network.h"

#include "_inline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAIR 2
#define STACK_FLOATS 4096

static const float SELU_SCALE = 1.0507009873554805f, SELU_ALPHA = 1.6732632423543772f;
static const float HALF_ROOT = 0.70710678118654752f; /* of two */

/* As many numbers as every processor has registers for. GCC and Clang both know this. */
typedef float Lanes __attribute__((vector_size(16)));
#define N_LANES (sizeof(Lanes) / sizeof(float))
#define PARTS (TILE / N_LANES)

ALWAYS_INLINE void
dense(const NetworkStep *step, const float *in, float *out, size_t width, const size_t n_rows)
{
    const float *weights = step->first;
    for (size_t tile = 0; tile < step->n_out; tile += TILE) {
        Lanes sums[PAIR][PARTS] = {{{0}}};
        for (size_t index = 0; index < step->n_in; index++, weights += TILE) {
            UNROLL for (size_t part = 0; part < PARTS; part++) {
                Lanes some;
                memcpy(&some, weights + part * N_LANES, sizeof some);
                UNROLL for (size_t row = 0; row < n_rows; row++) {
                    sums[row][part] += in[row * width + index] * some;
                }
            }
        }
        for (size_t row = 0; row < n_rows; row++) {
            UNROLL for (size_t part = 0; part < PARTS; part++) {
                Lanes bias;
                memcpy(&bias, step->second + tile + part * N_LANES, sizeof bias);
                bias += sums[row][part];
                memcpy(out + row * width + tile + part * N_LANES, &bias, sizeof bias);
            }
        }
    }
}

static void
softmax(float *row, size_t n)
{
    float most = row[0], sum = 0;
    for (size_t index = 1; index < n; index++) {
        most = row[index] > most ? row[index] : most;
    }
    for (size_t index = 0; index < n; index++) {
        row[index] = expf(row[index] - most);
        sum += row[index];
    }
    for (size_t index = 0; index < n; index++) {
        row[index] /= sum;
    }
}

/* A function of one number, for each number of a row. */
#define EACH(expression)                             \
    for (size_t index = 0; index < step->n_out; index++) { \
        const float x = row[index];                  \
        row[index] = (expression);                   \
    }                                                \
    break

static void
in_place(const NetworkStep *step, float *row)
{
    const float alpha = step->alpha;
    switch (step->kind) {
    case AFFINE:
        EACH((x - step->first[index]) * step->second[index] + step->third[index]);
    case RELU:
        EACH(x > 0 ? x : x * alpha);
    case CAPPED:
        EACH(x > alpha ? alpha : x > 0 ? x : 0);
    case ELU:
        EACH(x > 0 ? x : alpha * expm1f(x));
    case SELU:
        EACH(SELU_SCALE * (x > 0 ? x : SELU_ALPHA * expm1f(x)));
    case SIGMOID:
        EACH(1 / (1 + expf(-x)));
    case SILU:
        EACH(x / (1 + expf(-x)));
    case TANH:
        EACH(tanhf(x));
    case SOFTPLUS:
        EACH((x > 0 ? x : 0) + log1pf(expf(-fabsf(x))));
    case SOFTSIGN:
        EACH(x / (1 + fabsf(x)));
    case EXPONENTIAL:
        EACH(expf(x));
    case GELU:
        EACH(0.5f * x * (1 + erff(x * HALF_ROOT)));
    case SOFTMAX:
        softmax(row, step->n_out);
        break;
    default:
        break;
    }
}

/* Whether all numbers are within the limit; NaN is not. */
static int
are_within(const float *numbers, size_t n, float limit)
{
    int all = 1;
    for (size_t index = 0; index < n; index++) {
        all &= fabsf(numbers[index]) <= limit;
    }
    return all;
}

/* Take one or two rows through all steps; returns where the answers stand. */
static const float *
run_pair(const Network *network, float *now, float *next, size_t n_rows)
{
    for (size_t number = 0; number < network->n_steps; number++) {
        const NetworkStep *step = &network->steps[number];
        if (step->kind != DENSE) {
            for (size_t row = 0; row < n_rows; row++) {
                in_place(step, now + row * network->width);
            }
            continue;
        }
        if (n_rows == PAIR) {
            dense(step, now, next, network->width, PAIR);
        } else {
            dense(step, now, next, network->width, 1);
        }
        float *done = now;
        now = next;
        next = done;
    }
    return now;
}

int
run_network(const Network *network, const float *X, size_t n_rows, float *out)
{
    const size_t width = network->width, n_in = network->n_in, n_out = network->n_out;
    if (!are_within(X, n_rows * n_in, network->largest)) {
        return 1;
    }
    float near[STACK_FLOATS];
    float *rows = 2 * PAIR * width <= STACK_FLOATS ? near : malloc(2 * PAIR * width * sizeof *rows);
    if (rows == NULL) {
        return 2;
    }
    int result = 0;
    for (size_t first = 0; first < n_rows && result == 0; first += PAIR) {
        size_t n = n_rows - first < PAIR ? n_rows - first : PAIR;
        for (size_t row = 0; row < n; row++) {
            memcpy(rows + row * width, X + (first + row) * n_in, n_in * sizeof *rows);
        }
        const float *answers = run_pair(network, rows, rows + PAIR * width, n);
        for (size_t row = 0; row < n; row++) {
            result |= !are_within(answers + row * width, n_out, 3.402823466e38f);
            memcpy(out + (first + row) * n_out, answers + row * width, n_out * sizeof *out);
        }
    }
    if (rows != near) {
        free(rows);
    }
    return result;
}
