/* Neighbors(points, targets, n_neighbors, ...): what Python sees of neighbours. Whatever comes from Python is checked
 * here. */
#include "_neighbors.h"

#include "_buffers.h"

#include <float.h>
#include <math.h>

#define BIG_WORK 200000 /* differences: from here on, giving up the GIL costs less than keeping it */

typedef struct {
    PyObject_HEAD
    Neighbors neighbors;
    Py_buffer points, targets, order, nodes, bounds;
} NeighborsObject;

/* Take targets (n_points, n_outputs), or labels (n_points,) below n_classes. */
static int
take_targets(PyObject *object, Py_ssize_t n_classes, NeighborsObject *self)
{
    Neighbors *neighbors = &self->neighbors;
    int are_labels = n_classes > 0;
    if (take_buffer(object, are_labels ? 'i' : 'd', are_labels ? 1 : 2, 0, "targets", &self->targets) < 0) {
        return -1;
    }
    int fits = (size_t)self->targets.shape[0] == neighbors->n_points;
    if (are_labels) {
        neighbors->labels = self->targets.buf;
        neighbors->n_outputs = (size_t)n_classes;
        for (size_t point = 0; fits && point < neighbors->n_points; point++) {
            fits = neighbors->labels[point] >= 0 && neighbors->labels[point] < n_classes;
        }
    } else {
        neighbors->targets = self->targets.buf;
        neighbors->n_outputs = (size_t)self->targets.shape[1];
        fits = fits && neighbors->n_outputs > 0;
        double most = 1 / DBL_EPSILON / (double)neighbors->n_neighbors;
        neighbors->is_whole = 1;
        for (size_t index = 0; fits && index < neighbors->n_points * neighbors->n_outputs; index++) {
            double value = neighbors->targets[index];
            fits = fabs(value) < LARGEST;
            neighbors->is_whole = neighbors->is_whole && fabs(value) <= most && floor(value) == value;
        }
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "targets: expected one for each point, finite, or a label below n_classes.");
    }
    return fits ? 0 : -1;
}

static int
take_points(PyObject *object, Py_ssize_t n_neighbors, NeighborsObject *self)
{
    Neighbors *neighbors = &self->neighbors;
    if (take_buffer(object, 'd', 2, 0, "points", &self->points) < 0) {
        return -1;
    }
    Py_ssize_t n_points = self->points.shape[0];
    if (self->points.shape[1] < 1 || n_neighbors < 1 || n_neighbors > n_points || n_points >= INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "points: expected %zd rows or more, and a column.", n_neighbors);
        return -1;
    }
    neighbors->points = self->points.buf;
    neighbors->n_points = (size_t)n_points;
    neighbors->n_features = (size_t)self->points.shape[1];
    neighbors->n_neighbors = (size_t)n_neighbors;
    for (size_t point = 0; point < neighbors->n_points; point++) {
        double one = length_of(neighbors, neighbors->points + point * neighbors->n_features);
        if (!(one * one < LARGEST)) {
            PyErr_SetString(PyExc_ValueError, "points: a number is not finite, or huge.");
            return -1;
        }
        neighbors->reach = one > neighbors->reach ? one : neighbors->reach;
    }
    return 0;
}

/* Whether a search tree leads to points alone: its nodes to nodes, and its leaves to points. */
static int
is_sound(const SearchTree *tree, size_t n_points)
{
    for (size_t place = 0; place < n_points; place++) {
        if (tree->order[place] < 0 || (size_t)tree->order[place] >= n_points) {
            return 0;
        }
    }
    for (size_t index = 0; index < tree->n_nodes; index++) {
        const Node *node = &tree->nodes[index];
        if (node->begin < 0 || node->end < node->begin || (size_t)node->end > n_points ||
            (!node->is_leaf && 2 * index + 2 >= tree->n_nodes)) {
            return 0;
        }
    }
    return 1;
}

/* Take (order, nodes, bounds), which nobody may change from now on. */
static int
take_tree(PyObject *parts, NeighborsObject *self)
{
    Neighbors *neighbors = &self->neighbors;
    if (!PyTuple_Check(parts) || PyTuple_Size(parts) != 3) {
        PyErr_SetString(PyExc_TypeError, "tree: expected None or (order, nodes, bounds).");
        return -1;
    }
    if (take_buffer(PyTuple_GetItem(parts, 0), 'i', 1, 0, "order", &self->order) < 0 ||
        take_buffer(PyTuple_GetItem(parts, 1), 'i', 2, 0, "nodes", &self->nodes) < 0 ||
        take_buffer(PyTuple_GetItem(parts, 2), 'd', 3, 0, "bounds", &self->bounds) < 0) {
        return -1;
    }
    neighbors->tree = (SearchTree){(size_t)self->nodes.shape[0], self->order.buf, self->nodes.buf, self->bounds.buf};
    const Py_ssize_t *bounds = self->bounds.shape;
    int fits = self->order.shape[0] == self->points.shape[0] && self->nodes.shape[0] > 0 &&
               self->nodes.shape[0] < INT32_MAX && self->nodes.shape[1] == 3 && bounds[0] == 2 &&
               bounds[1] == self->nodes.shape[0] && bounds[2] == self->points.shape[1];
    if (!fits || !is_sound(&neighbors->tree, neighbors->n_points)) {
        PyErr_SetString(PyExc_ValueError, "tree: these arrays are none over these points.");
        return -1;
    }
    return 0;
}

static PyObject *
neighbors_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"points", "targets", "n_neighbors", "n_classes", "is_squared", "is_weighted", "tree", NULL};
    PyObject *points, *targets, *tree;
    Py_ssize_t n_neighbors, n_classes;
    int is_squared, is_weighted;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOnnppO", names, &points, &targets, &n_neighbors, &n_classes,
                                     &is_squared, &is_weighted, &tree)) {
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    NeighborsObject *self = (NeighborsObject *)make(type, 0); /* all zeros */
    if (self == NULL) {
        return NULL;
    }
    self->neighbors.two = 2;
    self->neighbors.is_squared = is_squared;
    self->neighbors.is_weighted = is_weighted;
    if (take_points(points, n_neighbors, self) < 0 || take_targets(targets, n_classes, self) < 0 ||
        (tree != Py_None && take_tree(tree, self) < 0)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
neighbors_dealloc(PyObject *object)
{
    NeighborsObject *self = (NeighborsObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_buffer *all[] = {&self->points, &self->targets, &self->order, &self->nodes, &self->bounds};
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) {
        PyBuffer_Release(all[index]); /* does nothing where .obj is NULL */
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *
run(const Neighbors *self, const Py_buffer *X, double *averages, int32_t *labels)
{
    int result;
    size_t n_rows = (size_t)X->shape[0];
    /* A tree looks at some leaves. */
    size_t n_seen = self->tree.n_nodes ? self->n_points / (self->tree.n_nodes / 8 + 1) : self->n_points;
    if (n_rows * n_seen * self->n_features > BIG_WORK) {
        Py_BEGIN_ALLOW_THREADS
        result = run_neighbors(self, X->buf, n_rows, averages, labels);
        Py_END_ALLOW_THREADS
    } else {
        result = run_neighbors(self, X->buf, n_rows, averages, labels);
    }
    return result == 2 ? PyErr_NoMemory() : PyLong_FromLong(result);
}

static PyObject *
run_into(PyObject *object, PyObject *const *args, Py_ssize_t n_args, int is_vote)
{
    const Neighbors *self = &((NeighborsObject *)object)->neighbors;
    Py_buffer X, out;
    if (n_args != 2 || (is_vote && self->labels == NULL)) {
        PyErr_SetString(PyExc_TypeError, "expected X and out, and labels to vote for.");
        return NULL;
    }
    if (take_buffer(args[0], 'd', 2, 0, "X", &X) < 0) {
        return NULL;
    }
    if (take_buffer(args[1], is_vote ? 'i' : 'd', is_vote ? 1 : 2, PyBUF_WRITABLE, "out", &out) < 0) {
        PyBuffer_Release(&X);
        return NULL;
    }
    PyObject *result = NULL;
    if ((size_t)X.shape[1] != self->n_features || X.shape[0] != out.shape[0] ||
        (!is_vote && (size_t)out.shape[1] != self->n_outputs)) {
        PyErr_Format(PyExc_ValueError, "expected X of shape (n_rows, %zu) and out of (n_rows,) or (n_rows, %zu).",
                     self->n_features, self->n_outputs);
    } else {
        result = run(self, &X, is_vote ? NULL : out.buf, is_vote ? out.buf : NULL);
    }
    PyBuffer_Release(&X);
    PyBuffer_Release(&out);
    return result;
}

static PyObject *
neighbors_vote(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, 1);
}

static PyObject *
neighbors_average(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, 0);
}

static PyMethodDef neighbors_methods[] = {
    {"vote", (PyCFunction)(void (*)(void))neighbors_vote, METH_FASTCALL, "vote(X, out, /): see the stub."},
    {"average", (PyCFunction)(void (*)(void))neighbors_average, METH_FASTCALL, "average(X, out, /): see the stub."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot neighbors_slots[] = {
    {Py_tp_doc, "The nearest points of a row, and what they say: see the stub."},
    {Py_tp_new, neighbors_new},
    {Py_tp_dealloc, neighbors_dealloc},
    {Py_tp_methods, neighbors_methods},
    {0, NULL},
};

PyType_Spec neighbors_spec = {
    .name = "demijohn.kernels._kernels.Neighbors",
    .basicsize = sizeof(NeighborsObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = neighbors_slots,
};
