/* Adding to numbers in a buffer: pairs of place and amount, or all that is counted of one answer.
 *
 * Rules of this room:
 * 1. All or nothing: every number is looked at before the first one changes.
 * 2. The GIL is kept: nobody who holds it sees half of a call.
 */
#include "_sums.h"

#include "_buffers.h"

#define MOST_PAIRS 16

PyObject *
add_to(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args % 2 != 1 || n_args > 1 + 2 * MOST_PAIRS) {
        PyErr_Format(PyExc_TypeError, "add_to takes values and up to %d pairs of place and amount.", MOST_PAIRS);
        return NULL;
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(args[0], &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    double *values = buffer.buf;
    Py_ssize_t n_values = buffer.len / (Py_ssize_t)sizeof(double), n_pairs = n_args / 2;
    Py_ssize_t places[MOST_PAIRS];
    double amounts[MOST_PAIRS];
    if (buffer.format == NULL || buffer.format[0] != 'd' || buffer.format[1] != 0 ||
        (uintptr_t)values % sizeof(double) != 0) {
        PyErr_SetString(PyExc_ValueError, "values: expected an aligned buffer of float64.");
        goto refuse;
    }
    for (Py_ssize_t pair = 0; pair < n_pairs; pair++) {
        places[pair] = PyLong_AsSsize_t(args[1 + 2 * pair]);
        amounts[pair] = PyFloat_AsDouble(args[2 + 2 * pair]);
        if (PyErr_Occurred()) {
            goto refuse;
        }
        if (places[pair] < 0 || places[pair] >= n_values) {
            PyErr_Format(PyExc_IndexError, "place %zd is not among %zd values.", places[pair], n_values);
            goto refuse;
        }
    }
    for (Py_ssize_t pair = 0; pair < n_pairs; pair++) {
        values[places[pair]] += amounts[pair];
    }
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
refuse:
    PyBuffer_Release(&buffer);
    return NULL;
}

/* Tally ------------------------------------------------------------------------------------------------------- */

/* Where in the values each number of an answer is added. A histogram is its sum, and the count of each bucket. */
enum { REQUESTS, DURATION, ROWS, ANSWERED, READ, WRITE, LAST, SIZES, JOINED, INFERENCE, STEP, N_PLACES };
#define MOST_BOUNDS 64

typedef struct {
    PyObject_HEAD
    Py_buffer values;
    Py_ssize_t n_values, places[N_PLACES], n_seconds, n_sizes;
    double seconds[MOST_BOUNDS], sizes[MOST_BOUNDS]; /* the upper bounds of the histograms' buckets */
} TallyObject;

static Py_ssize_t
take_bounds(PyObject *given, double *bounds)
{
    Py_ssize_t n_bounds = PyTuple_Size(given);
    if (n_bounds > MOST_BOUNDS) {
        PyErr_Format(PyExc_ValueError, "a histogram has at most %d bounds.", MOST_BOUNDS);
        return -1;
    }
    for (Py_ssize_t index = 0; index < n_bounds; index++) {
        bounds[index] = PyFloat_AsDouble(PyTuple_GetItem(given, index));
    }
    return PyErr_Occurred() ? -1 : n_bounds;
}

/* Read where each number is; behind a histogram's place there must be room for its buckets. */
static int
take_places(PyObject *given, TallyObject *self)
{
    if (PyTuple_Size(given) != N_PLACES) {
        PyErr_Format(PyExc_ValueError, "expected %d places, received %zd.", N_PLACES, PyTuple_Size(given));
        return -1;
    }
    for (int number = 0; number < N_PLACES; number++) {
        Py_ssize_t place = PyLong_AsSsize_t(PyTuple_GetItem(given, number));
        Py_ssize_t width = number == DURATION || number == INFERENCE ? self->n_seconds + 2
                           : number == SIZES || number == JOINED     ? self->n_sizes + 2
                                                                     : 1;
        if (PyErr_Occurred()) {
            return -1;
        }
        if (place < 0 || place > self->n_values - width) {
            PyErr_Format(PyExc_IndexError, "place %zd and %zd more are not among %zd values.", place, width - 1,
                         self->n_values);
            return -1;
        }
        self->places[number] = place;
    }
    return 0;
}

static PyObject *
tally_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"values", "seconds", "sizes", "places", NULL};
    PyObject *values, *seconds, *sizes, *places;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!O!O!", names, &values, &PyTuple_Type, &seconds, &PyTuple_Type,
                                     &sizes, &PyTuple_Type, &places)) {
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    TallyObject *self = (TallyObject *)make(type, 0); /* all zeros */
    if (self == NULL) {
        return NULL;
    }
    if (take_buffer(values, 'd', 1, PyBUF_WRITABLE, "values", &self->values) == 0) {
        self->n_values = self->values.shape[0];
        self->n_seconds = take_bounds(seconds, self->seconds);
        self->n_sizes = self->n_seconds < 0 ? -1 : take_bounds(sizes, self->sizes);
        if (self->n_sizes >= 0 && take_places(places, self) == 0) {
            return (PyObject *)self;
        }
    }
    Py_DECREF(self);
    return NULL;
}

static void
tally_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (((TallyObject *)object)->values.obj != NULL) {
        PyBuffer_Release(&((TallyObject *)object)->values);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static void
add_to_histogram(double *sum, const double *bounds, Py_ssize_t n_bounds, double amount)
{
    Py_ssize_t bucket = 0;
    while (bucket < n_bounds && bounds[bucket] < amount) {
        bucket++;
    }
    sum[0] += amount;
    sum[1 + bucket] += 1;
}

/* add(now, duration_s, n_rows, read_s, write_s[, inference_s, place_of_size]) */
static PyObject *
tally_add(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    TallyObject *self = (TallyObject *)object;
    double given[6] = {0};
    Py_ssize_t size = 0;
    if (n_args != 5 && n_args != 7) {
        PyErr_SetString(PyExc_TypeError, "add takes 5 numbers, or 7.");
        return NULL;
    }
    for (int index = 0; index < 5 + (n_args == 7); index++) {
        given[index] = PyFloat_AsDouble(args[index]);
    }
    if (n_args == 7) {
        size = PyLong_AsSsize_t(args[6]);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (size < 0 || size > self->n_values - 2) {
        PyErr_Format(PyExc_IndexError, "place %zd is not among %zd values.", size, self->n_values);
        return NULL;
    }
    double *values = self->values.buf, duration_s = given[1], n_rows = given[2], inference_s = given[5];
    const Py_ssize_t *places = self->places;
    values[places[REQUESTS]] += 1;
    add_to_histogram(values + places[DURATION], self->seconds, self->n_seconds, duration_s);
    values[places[ROWS]] += n_rows;
    values[places[ANSWERED]] += duration_s;
    values[places[READ]] += given[3];
    values[places[WRITE]] += given[4];
    values[places[LAST]] = given[0];
    if (n_args == 7) {
        add_to_histogram(values + places[SIZES], self->sizes, self->n_sizes, n_rows);
        add_to_histogram(values + places[JOINED], self->sizes, self->n_sizes, 1);
        add_to_histogram(values + places[INFERENCE], self->seconds, self->n_seconds, inference_s);
        values[places[STEP]] += inference_s;
        values[size] += inference_s;
        values[size + 1] += 1;
    }
    Py_RETURN_NONE;
}

static PyMethodDef tally_methods[] = {
    {"add", (PyCFunction)(void (*)(void))tally_add, METH_FASTCALL, "add(...): see the stub."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tally_slots[] = {
    {Py_tp_doc, "Where the answers of one method are counted: see the stub."},
    {Py_tp_new, tally_new},
    {Py_tp_dealloc, tally_dealloc},
    {Py_tp_methods, tally_methods},
    {0, NULL},
};

PyType_Spec tally_spec = {
    .name = "demijohn.kernels._kernels.Tally",
    .basicsize = sizeof(TallyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tally_slots,
};
