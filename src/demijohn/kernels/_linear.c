/* Linear(weights, bias, minus, divide, largest): what Python sees of a linear model. Whatever comes from Python is
 * checked here. */
#include "_linear.h"

#include "_buffers.h"

#include <math.h>
#include <string.h>

#define BIG_WORK 100000 /* products: from here on, giving up the GIL costs less than keeping it */
#define MOST_WIDTH (1 << 20)

typedef struct {
    PyObject_HEAD
    Linear linear;
} LinearObject;

static double *
zeros(size_t n)
{
    double *numbers = PyMem_Calloc(n, sizeof *numbers);
    if (numbers == NULL) {
        PyErr_NoMemory();
    }
    return numbers;
}

/* Copy a line of n numbers into room for `width` >= n; NULL with an error. */
static double *
take_line(PyObject *object, size_t n, size_t width, const char *name)
{
    Py_buffer buffer;
    if (take_buffer(object, 'd', 1, 0, name, &buffer) < 0) {
        return NULL;
    }
    double *line = NULL;
    if ((size_t)buffer.shape[0] != n) {
        PyErr_Format(PyExc_ValueError, "%s: expected %zu numbers, received %zd.", name, n, buffer.shape[0]);
    } else if ((line = zeros(width)) != NULL) {
        memcpy(line, buffer.buf, n * sizeof *line);
    }
    PyBuffer_Release(&buffer);
    return line;
}

/* Copy weights (n_features, n_outputs), group by group where there are several outputs, and find the largest. */
static int
copy_weights(const double *weights, Linear *linear)
{
    const size_t n_features = linear->n_features, n_outputs = linear->n_outputs;
    linear->width = n_outputs == 1 ? 1 : (n_outputs + GROUP - 1) / GROUP * GROUP;
    if ((linear->weights = zeros(linear->width * n_features)) == NULL || (linear->most = zeros(n_features)) == NULL) {
        return -1;
    }
    for (size_t row = 0; row < n_features; row++) {
        for (size_t column = 0; column < n_outputs; column++) {
            double weight = weights[row * n_outputs + column];
            size_t place = n_outputs == 1 ? row : (column / GROUP * n_features + row) * GROUP + column % GROUP;
            linear->weights[place] = weight;
            linear->most[row] = fmax(linear->most[row], fabs(weight));
        }
    }
    return 0;
}

static int
take_weights(PyObject *object, Linear *linear)
{
    Py_buffer buffer;
    if (take_buffer(object, 'd', 2, 0, "weights", &buffer) < 0) {
        return -1;
    }
    Py_ssize_t n_features = buffer.shape[0], n_outputs = buffer.shape[1];
    int result = -1;
    if (n_features < 1 || n_features > MOST_WIDTH || n_outputs < 1 || n_outputs > MOST_WIDTH) {
        PyErr_Format(PyExc_ValueError, "weights of shape (%zd, %zd) are none.", n_features, n_outputs);
    } else {
        linear->n_features = (size_t)n_features;
        linear->n_outputs = (size_t)n_outputs;
        result = copy_weights(buffer.buf, linear);
    }
    PyBuffer_Release(&buffer);
    return result;
}

static int
take_all(PyObject *weights, PyObject *bias, PyObject *minus, PyObject *divide, Linear *linear)
{
    if (take_weights(weights, linear) < 0 ||
        (linear->bias = take_line(bias, linear->n_outputs, linear->width, "bias")) == NULL) {
        return -1;
    }
    for (size_t index = 0; index < linear->n_outputs; index++) {
        linear->most_bias = fmax(linear->most_bias, fabs(linear->bias[index]));
    }
    const size_t n = linear->n_features;
    if ((minus != Py_None && (linear->minus = take_line(minus, n, n, "minus")) == NULL) ||
        (divide != Py_None && (linear->divide = take_line(divide, n, n, "divide")) == NULL)) {
        return -1;
    }
    return 0;
}

/* Whether no number is NaN or infinite. fmax above passes over a NaN. */
static int
is_finite(const Linear *linear)
{
    int all = 1;
    for (size_t index = 0; index < linear->width * linear->n_features; index++) {
        all &= isfinite(linear->weights[index]) != 0;
    }
    for (size_t index = 0; index < linear->n_outputs; index++) {
        all &= isfinite(linear->bias[index]) != 0;
    }
    return all;
}

static PyObject *
linear_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"weights", "bias", "minus", "divide", "largest", NULL};
    PyObject *weights, *bias, *minus, *divide;
    double largest;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOd", names, &weights, &bias, &minus, &divide, &largest)) {
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    LinearObject *self = (LinearObject *)make(type, 0); /* all zeros */
    if (self == NULL) {
        return NULL;
    }
    self->linear.largest = largest;
    if (take_all(weights, bias, minus, divide, &self->linear) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    if (!is_finite(&self->linear)) {
        PyErr_SetString(PyExc_ValueError, "a weight or a bias is not finite.");
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
linear_dealloc(PyObject *object)
{
    Linear *linear = &((LinearObject *)object)->linear;
    PyTypeObject *type = Py_TYPE(object);
    PyMem_Free(linear->weights);
    PyMem_Free(linear->bias);
    PyMem_Free(linear->most);
    PyMem_Free(linear->minus);
    PyMem_Free(linear->divide);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* Take a matrix of rows. 0; 1, with nothing to be released, if it is not aligned float64 in C order, or has no row;
 * -1 with an error. */
static int
take_rows(PyObject *object, const Linear *linear, Py_buffer *X)
{
    if (PyObject_GetBuffer(object, X, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
        return -1;
    }
    int result = 0;
    if (X->ndim != 2 || (size_t)X->shape[1] != linear->n_features) {
        PyErr_Format(PyExc_ValueError, "expected X of shape (n_rows, %zu).", linear->n_features);
        result = -1;
    } else if (X->format == NULL || X->format[0] != 'd' || X->format[1] != 0 || X->shape[0] == 0 ||
               (uintptr_t)X->buf % sizeof(double) != 0 || !PyBuffer_IsContiguous(X, 'C')) {
        result = 1;
    }
    if (result != 0) {
        PyBuffer_Release(X);
    }
    return result;
}

static int
run(const Linear *linear, const Py_buffer *X, Question question, void *out)
{
    int result;
    size_t n_rows = (size_t)X->shape[0];
    if (n_rows * linear->n_features * (linear->width + 1) > BIG_WORK) {
        Py_BEGIN_ALLOW_THREADS
        result = run_linear(linear, X->buf, n_rows, question, out);
        Py_END_ALLOW_THREADS
    } else {
        result = run_linear(linear, X->buf, n_rows, question, out);
    }
    return result;
}

static PyObject *
run_into(PyObject *object, PyObject *const *args, Py_ssize_t n_args, Question question)
{
    const Linear *linear = &((LinearObject *)object)->linear;
    Py_buffer X, out;
    if (n_args != 2) {
        PyErr_SetString(PyExc_TypeError, "expected X and out.");
        return NULL;
    }
    int result = take_rows(args[0], linear, &X);
    if (result != 0) {
        return result < 0 ? NULL : PyLong_FromLong(result);
    }
    if (take_buffer(args[1], question == WINNERS ? 'q' : 'd', 0, PyBUF_WRITABLE, "out", &out) < 0) {
        PyBuffer_Release(&X);
        return NULL;
    }
    size_t n_numbers = width_of_answer(linear, question);
    PyObject *answer = NULL;
    if ((size_t)out.len / sizeof(double) != (size_t)X.shape[0] * n_numbers) {
        PyErr_Format(PyExc_ValueError, "expected %zu numbers for each row in out.", n_numbers);
    } else {
        result = run(linear, &X, question, out.buf);
        answer = result == 2 ? PyErr_NoMemory() : PyLong_FromLong(result);
    }
    PyBuffer_Release(&X);
    PyBuffer_Release(&out);
    return answer;
}

static PyObject *
linear_scores(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, SCORES);
}

static PyObject *
linear_probabilities(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, PROBABILITIES);
}

static PyObject *
linear_winners(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, WINNERS);
}

static PyObject *
linear_winner(PyObject *object, PyObject *row)
{
    const Linear *linear = &((LinearObject *)object)->linear;
    Py_buffer X;
    int result = take_rows(row, linear, &X);
    if (result != 0) {
        return result < 0 ? NULL : PyLong_FromLong(-1);
    }
    int64_t found = -1;
    if (X.shape[0] == 1) {
        result = run(linear, &X, WINNERS, &found);
    }
    PyBuffer_Release(&X);
    return result == 2 ? PyErr_NoMemory() : PyLong_FromLongLong(found);
}

static PyObject *
linear_n_outputs(PyObject *object, void *Py_UNUSED(nothing))
{
    return PyLong_FromSize_t(((LinearObject *)object)->linear.n_outputs);
}

static PyMethodDef linear_methods[] = {
    {"scores", (PyCFunction)(void (*)(void))linear_scores, METH_FASTCALL, "scores(X, out, /): see the stub."},
    {"probabilities", (PyCFunction)(void (*)(void))linear_probabilities, METH_FASTCALL,
     "probabilities(X, out, /): see the stub."},
    {"winner", linear_winner, METH_O, "winner(X, /): see the stub."},
    {"winners", (PyCFunction)(void (*)(void))linear_winners, METH_FASTCALL, "winners(X, out, /): see the stub."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef linear_counts[] = {
    {"n_outputs", linear_n_outputs, NULL, "Scores of a row.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot linear_slots[] = {
    {Py_tp_doc, "A linear model: see the stub."},
    {Py_tp_new, linear_new},
    {Py_tp_dealloc, linear_dealloc},
    {Py_tp_methods, linear_methods},
    {Py_tp_getset, linear_counts},
    {0, NULL},
};

PyType_Spec linear_spec = {
    .name = "demijohn.kernels._kernels.Linear",
    .basicsize = sizeof(LinearObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = linear_slots,
};
