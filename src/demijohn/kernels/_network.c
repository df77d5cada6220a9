/* Network(n_features, largest, steps): what Python sees of a network. Whatever comes from Python is checked here. */
#include "_network.h"

#include "_buffers.h"

#include <string.h>

#define BIG_WORK 400000 /* products: from here on, giving up the GIL costs less than keeping it */
#define MOST_WIDTH (1 << 20)

typedef struct {
    PyObject_HEAD
    Network network;
} NetworkObject;

static size_t
whole_tiles(size_t n)
{
    return (n + TILE - 1) / TILE * TILE;
}

static float *
zeros(size_t n)
{
    float *numbers = PyMem_Calloc(n ? n : 1, sizeof *numbers);
    if (numbers == NULL) {
        PyErr_NoMemory();
    }
    return numbers;
}

/* Copy a line of n numbers; NULL with an error. */
static float *
take_line(PyObject *object, size_t n)
{
    Py_buffer buffer;
    if (take_buffer(object, 'f', 1, 0, "a line", &buffer) < 0) {
        return NULL;
    }
    float *line = NULL;
    if ((size_t)buffer.shape[0] != n) {
        PyErr_Format(PyExc_ValueError, "expected %zu numbers, received %zd.", n, buffer.shape[0]);
    } else if ((line = zeros(whole_tiles(n))) != NULL) {
        memcpy(line, buffer.buf, n * sizeof *line);
    }
    PyBuffer_Release(&buffer);
    return line;
}

/* Copy a layer's weights (n_in, n_out), tile by tile. */
static int
take_weights(PyObject *object, NetworkStep *step)
{
    Py_buffer buffer;
    if (take_buffer(object, 'f', 2, 0, "weights", &buffer) < 0) {
        return -1;
    }
    const float *weights = buffer.buf;
    size_t n_in = (size_t)buffer.shape[0], n_out = (size_t)buffer.shape[1];
    if (n_in != step->n_in || n_out < 1 || n_out > MOST_WIDTH) {
        PyErr_Format(PyExc_ValueError, "weights: expected (%zu, ...), received (%zd, %zd).", step->n_in, buffer.shape[0],
                     buffer.shape[1]);
    } else if ((step->first = zeros(whole_tiles(n_out) * n_in)) != NULL) {
        step->n_out = n_out;
        for (size_t row = 0; row < n_in; row++) {
            for (size_t column = 0; column < n_out; column++) {
                step->first[(column / TILE * n_in + row) * TILE + column % TILE] = weights[row * n_out + column];
            }
        }
    }
    PyBuffer_Release(&buffer);
    return step->first == NULL ? -1 : 0;
}

/* Read (kind, weights, bias), (kind, minus, times, plus) or (kind, alpha). */
static int
take_step(PyObject *given, size_t n_in, NetworkStep *step)
{
    if (!PyTuple_Check(given) || PyTuple_Size(given) < 2) {
        PyErr_SetString(PyExc_TypeError, "a step is a tuple that begins with its kind.");
        return -1;
    }
    long kind = PyLong_AsLong(PyTuple_GetItem(given, 0));
    if (PyErr_Occurred()) {
        return -1;
    }
    if (kind < 0 || kind >= N_KINDS || PyTuple_Size(given) != (kind == DENSE ? 3 : kind == AFFINE ? 4 : 2)) {
        PyErr_Format(PyExc_ValueError, "there is no step of kind %ld with %zd parts.", kind, PyTuple_Size(given));
        return -1;
    }
    *step = (NetworkStep){.kind = (Kind)kind, .n_in = n_in, .n_out = n_in};
    if (kind == DENSE) {
        if (take_weights(PyTuple_GetItem(given, 1), step) < 0) {
            return -1;
        }
        step->second = take_line(PyTuple_GetItem(given, 2), step->n_out);
        return step->second == NULL ? -1 : 0;
    }
    if (kind == AFFINE) {
        step->first = take_line(PyTuple_GetItem(given, 1), n_in);
        step->second = step->first == NULL ? NULL : take_line(PyTuple_GetItem(given, 2), n_in);
        step->third = step->second == NULL ? NULL : take_line(PyTuple_GetItem(given, 3), n_in);
        return step->third == NULL ? -1 : 0;
    }
    step->alpha = (float)PyFloat_AsDouble(PyTuple_GetItem(given, 1));
    return PyErr_Occurred() ? -1 : 0;
}

static int
take_steps(PyObject *steps, Network *network)
{
    size_t n_steps = (size_t)PyTuple_Size(steps), n_now = network->n_in;
    network->steps = PyMem_Calloc(n_steps ? n_steps : 1, sizeof *network->steps);
    if (network->steps == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    network->width = whole_tiles(n_now);
    for (size_t number = 0; number < n_steps; number++) {
        NetworkStep *step = &network->steps[number];
        network->n_steps = number + 1; /* so far something may have to be freed */
        if (take_step(PyTuple_GetItem(steps, (Py_ssize_t)number), n_now, step) < 0) {
            return -1;
        }
        n_now = step->n_out;
        network->n_products += step->kind == DENSE ? step->n_in * step->n_out : TILE * n_now;
        network->width = whole_tiles(n_now) > network->width ? whole_tiles(n_now) : network->width;
    }
    network->n_out = n_now;
    return 0;
}

static PyObject *
network_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n_features", "largest", "steps", NULL};
    Py_ssize_t n_features;
    float largest;
    PyObject *steps;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "nfO!", names, &n_features, &largest, &PyTuple_Type, &steps)) {
        return NULL;
    }
    if (n_features < 1 || n_features > MOST_WIDTH) {
        PyErr_Format(PyExc_ValueError, "a network of %zd features is none.", n_features);
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    NetworkObject *self = (NetworkObject *)make(type, 0); /* all zeros */
    if (self == NULL) {
        return NULL;
    }
    self->network.n_in = (size_t)n_features;
    self->network.largest = largest;
    if (take_steps(steps, &self->network) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
network_dealloc(PyObject *object)
{
    Network *network = &((NetworkObject *)object)->network;
    PyTypeObject *type = Py_TYPE(object);
    for (size_t number = 0; number < network->n_steps; number++) {
        PyMem_Free(network->steps[number].first);
        PyMem_Free(network->steps[number].second);
        PyMem_Free(network->steps[number].third);
    }
    PyMem_Free(network->steps);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *
run(const Network *network, const Py_buffer *X, const Py_buffer *out)
{
    int result;
    size_t n_rows = (size_t)X->shape[0];
    if (n_rows * network->n_products > BIG_WORK) {
        Py_BEGIN_ALLOW_THREADS
        result = run_network(network, X->buf, n_rows, out->buf);
        Py_END_ALLOW_THREADS
    } else {
        result = run_network(network, X->buf, n_rows, out->buf);
    }
    return result == 2 ? PyErr_NoMemory() : PyLong_FromLong(result);
}

static PyObject *
network_run(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    const Network *network = &((NetworkObject *)object)->network;
    Py_buffer X, out;
    if (n_args != 2) {
        PyErr_SetString(PyExc_TypeError, "expected X and out.");
        return NULL;
    }
    if (take_buffer(args[0], 'f', 2, 0, "X", &X) < 0) {
        return NULL;
    }
    if (take_buffer(args[1], 'f', 2, PyBUF_WRITABLE, "out", &out) < 0) {
        PyBuffer_Release(&X);
        return NULL;
    }
    PyObject *result = NULL;
    if ((size_t)X.shape[1] != network->n_in || X.shape[0] != out.shape[0] || (size_t)out.shape[1] != network->n_out) {
        PyErr_Format(PyExc_ValueError, "expected X of shape (n_rows, %zu) and out of (n_rows, %zu).", network->n_in,
                     network->n_out);
    } else {
        result = run(network, &X, &out);
    }
    PyBuffer_Release(&X);
    PyBuffer_Release(&out);
    return result;
}

static PyObject *
network_width(PyObject *object, void *Py_UNUSED(nothing))
{
    return PyLong_FromSize_t(((NetworkObject *)object)->network.n_out);
}

static PyMethodDef network_methods[] = {
    {"run", (PyCFunction)(void (*)(void))network_run, METH_FASTCALL, "run(X, out, /): see the stub."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef network_counts[] = {
    {"n_outputs", network_width, NULL, "Columns of out.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot network_slots[] = {
    {Py_tp_doc, "A neural network of dense layers: see the stub."},
    {Py_tp_new, network_new},
    {Py_tp_dealloc, network_dealloc},
    {Py_tp_methods, network_methods},
    {Py_tp_getset, network_counts},
    {0, NULL},
};

PyType_Spec network_spec = {
    .name = "demijohn.kernels._kernels.Network",
    .basicsize = sizeof(NetworkObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = network_slots,
};
