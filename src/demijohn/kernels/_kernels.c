/* demijohn.kernels._kernels: what Python sees of the forests, the networks, the linear models, the neighbours, the
 * readers and the sums.
 *
 * Rules of this room:
 * 1. Only the limited API, so that one wheel serves every Python from 3.11 on; arrays come as buffers.
 * 2. Whatever comes from Python is checked here or in open_block, before anything runs on it.
 */
#include "_arrow.h"
#include "_arrow_cells.h"
#include "_buffers.h"
#include "_cells.h"
#include "_columns.h"
#include "_forest.h"
#include "_frames.h"
#include "_linear.h"
#include "_matrix.h"
#include "_neighbors.h"
#include "_network.h"
#include "_records.h"
#include "_sums.h"
#include "_table.h"
#include "_tensor.h"

#include <stddef.h>

#define BIG_WORK 20000 /* rows times trees: from here on, giving up the GIL costs less than keeping it */

typedef struct {
    PyObject_HEAD
    Forest forest;
    void *own;        /* the block's memory, if it is ours */
    Py_buffer packed; /* .obj is NULL if it is */
} ForestObject;

static void
release_arrays(Arrays *arrays)
{
    Py_buffer *all[] = {&arrays->roots,       &arrays->column,          &arrays->feature,         &arrays->threshold,
                        &arrays->left,        &arrays->right,           &arrays->missing_left,    &arrays->leaf,
                        &arrays->values,      &arrays->start,           &arrays->categorical,
                        &arrays->left_categories, &arrays->known_categories};
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) {
        PyBuffer_Release(all[index]); /* does nothing where .obj is NULL */
    }
}

static int
check_shapes(const Arrays *arrays)
{
    Py_ssize_t n_nodes = arrays->left.shape[0], n_trees = arrays->roots.shape[0];
    int fits = arrays->right.shape[0] == n_nodes && arrays->feature.shape[0] == n_nodes &&
               arrays->threshold.shape[0] == n_nodes && arrays->missing_left.shape[0] == n_nodes &&
               arrays->leaf.shape[0] == n_nodes && arrays->column.shape[0] == n_trees;
    if (arrays->categorical.obj != NULL) {
        fits = fits && arrays->categorical.shape[0] == n_nodes && arrays->left_categories.shape[1] == CATEGORY_WORDS &&
               arrays->known_categories.shape[1] == CATEGORY_WORDS &&
               arrays->known_categories.shape[0] == arrays->n_features;
    }
    if (!fits || arrays->n_features < 1 || n_nodes >= INT32_MAX || n_trees >= INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "These arrays are no ensemble: their lengths contradict each other.");
        return -1;
    }
    return 0;
}

static int
take_arrays(PyObject *kwargs, Arrays *arrays)
{
    static char *names[] = {"n_features",       "roots",          "column",      "feature",         "threshold",
                            "left",             "right",          "missing_left", "leaf",           "values",
                            "start",            "casts_to_float32", "allows_missing", "categorical", "left_categories",
                            "known_categories", "sums_in_float32", NULL};
    PyObject *roots, *column, *feature, *threshold, *left, *right, *missing_left, *leaf, *values, *start;
    PyObject *categorical = Py_None, *left_categories = Py_None, *known_categories = Py_None;
    Py_ssize_t n_features;
    PyObject *nothing = PyTuple_New(0);
    if (nothing == NULL) {
        return -1;
    }
    int parsed = PyArg_ParseTupleAndKeywords(
        nothing, kwargs, "nOOOOOOOOOOpp|OOOp", names, &n_features, &roots, &column, &feature, &threshold, &left, &right,
        &missing_left, &leaf, &values, &start, &arrays->is_casting, &arrays->allows_missing, &categorical,
        &left_categories, &known_categories, &arrays->sums_in_float32);
    Py_DECREF(nothing);
    arrays->n_features = n_features;
    if (!parsed || take_buffer(roots, 'i', 1, 0, "roots", &arrays->roots) < 0 ||
        take_buffer(column, 'i', 1, 0, "column", &arrays->column) < 0 ||
        take_buffer(feature, 'i', 1, 0, "feature", &arrays->feature) < 0 ||
        take_buffer(threshold, 'd', 1, 0, "threshold", &arrays->threshold) < 0 ||
        take_buffer(left, 'i', 1, 0, "left", &arrays->left) < 0 ||
        take_buffer(right, 'i', 1, 0, "right", &arrays->right) < 0 ||
        take_buffer(missing_left, '?', 1, 0, "missing_left", &arrays->missing_left) < 0 ||
        take_buffer(leaf, 'i', 1, 0, "leaf", &arrays->leaf) < 0 ||
        take_buffer(values, 'd', 2, 0, "values", &arrays->values) < 0 ||
        take_buffer(start, 'd', 1, 0, "start", &arrays->start) < 0) {
        return -1;
    }
    if (categorical != Py_None &&
        (take_buffer(categorical, 'i', 1, 0, "categorical", &arrays->categorical) < 0 ||
         take_buffer(left_categories, 'I', 2, 0, "left_categories", &arrays->left_categories) < 0 ||
         take_buffer(known_categories, 'I', 2, 0, "known_categories", &arrays->known_categories) < 0)) {
        return -1;
    }
    return check_shapes(arrays);
}

static ForestObject *
allocate(PyTypeObject *type)
{
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return (ForestObject *)make(type, 0); /* all zeros */
}

static PyObject *
forest_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_Size(args) != 0) {
        PyErr_SetString(PyExc_TypeError, "Forest takes keyword arguments alone.");
        return NULL;
    }
    ForestObject *self = allocate(type);
    if (self == NULL) {
        return NULL;
    }
    Arrays arrays;
    size_t n_bytes = 0;
    char *block = NULL;
    memset(&arrays, 0, sizeof arrays);
    if (take_arrays(kwargs, &arrays) == 0) {
        block = make_block(&arrays, &self->own, &n_bytes);
    }
    release_arrays(&arrays);
    if (block == NULL || open_block(&self->forest, block, n_bytes) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *
forest_from_packed(PyObject *type, PyObject *packed)
{
    ForestObject *self = allocate((PyTypeObject *)type);
    if (self == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(packed, &self->packed, PyBUF_SIMPLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    const char *block = self->packed.buf;
    size_t n_bytes = (size_t)self->packed.len;
    if ((uintptr_t)block % LINE_BYTES != 0) { /* a memory map is aligned; bytes are not */
        char *copied = allocate_block(n_bytes, &self->own);
        if (copied != NULL) {
            memcpy(copied, block, n_bytes);
        }
        PyBuffer_Release(&self->packed);
        block = copied;
    }
    if (block == NULL || open_block(&self->forest, block, n_bytes) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
forest_dealloc(PyObject *object)
{
    ForestObject *self = (ForestObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    close_block(&self->forest);
    PyMem_Free(self->own);
    PyBuffer_Release(&self->packed);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *
forest_packed(PyObject *object, PyObject *nothing)
{
    (void)nothing;
    const Forest *forest = &((ForestObject *)object)->forest;
    return PyBytes_FromStringAndSize(forest->block, (Py_ssize_t)forest->head.n_bytes);
}

static PyObject *
run(const Forest *forest, const Py_buffer *X, double *sums, int32_t *leaves)
{
    int result;
    size_t n_rows = (size_t)X->shape[0];
    if (n_rows * forest->head.n_trees > BIG_WORK) {
        Py_BEGIN_ALLOW_THREADS
        result = run_forest(forest, X->buf, n_rows, sums, leaves);
        Py_END_ALLOW_THREADS
    } else {
        result = run_forest(forest, X->buf, n_rows, sums, leaves);
    }
    return result == 2 ? PyErr_NoMemory() : PyLong_FromLong(result);
}

static PyObject *
run_into(PyObject *object, PyObject *const *args, Py_ssize_t n_args, int is_sum)
{
    const Forest *forest = &((ForestObject *)object)->forest;
    Py_buffer X, out;
    if (n_args != 2) {
        PyErr_SetString(PyExc_TypeError, "expected X and out.");
        return NULL;
    }
    if (take_buffer(args[0], 'd', 2, 0, "X", &X) < 0) {
        return NULL;
    }
    if (take_buffer(args[1], is_sum ? 'd' : 'i', 2, PyBUF_WRITABLE, "out", &out) < 0) {
        PyBuffer_Release(&X);
        return NULL;
    }
    PyObject *result = NULL;
    uint64_t columns = is_sum ? forest->head.n_outputs : forest->head.n_trees;
    if ((uint64_t)X.shape[1] != forest->head.n_features || X.shape[0] != out.shape[0] ||
        (uint64_t)out.shape[1] != columns) {
        PyErr_Format(PyExc_ValueError, "expected X of shape (n_rows, %llu) and out of (n_rows, %llu).",
                     (unsigned long long)forest->head.n_features, (unsigned long long)columns);
    } else {
        result = run(forest, &X, is_sum ? out.buf : NULL, is_sum ? NULL : out.buf);
    }
    PyBuffer_Release(&X);
    PyBuffer_Release(&out);
    return result;
}

static PyObject *
forest_add_up(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, 1);
}

static PyObject *
forest_leaves(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return run_into(self, args, n_args, 0);
}

static PyObject *
forest_get(PyObject *object, void *offset)
{
    const char *head = (const char *)&((ForestObject *)object)->forest.head;
    uint64_t count;
    memcpy(&count, head + (size_t)offset, sizeof count);
    return PyLong_FromUnsignedLongLong(count);
}

static PyMethodDef forest_methods[] = {
    {"add_up", (PyCFunction)(void (*)(void))forest_add_up, METH_FASTCALL, "add_up(X, out, /): see the stub."},
    {"leaves", (PyCFunction)(void (*)(void))forest_leaves, METH_FASTCALL, "leaves(X, out, /): see the stub."},
    {"packed", forest_packed, METH_NOARGS, "packed(): see the stub."},
    {"from_packed", forest_from_packed, METH_O | METH_CLASS, "from_packed(buffer, /): see the stub."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef forest_counts[] = {
    {"n_features", forest_get, NULL, "Columns of X.", (void *)offsetof(Header, n_features)},
    {"n_outputs", forest_get, NULL, "Columns of the sums.", (void *)offsetof(Header, n_outputs)},
    {"n_trees", forest_get, NULL, "Columns of the leaves.", (void *)offsetof(Header, n_trees)},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot forest_slots[] = {
    {Py_tp_doc, "A tree ensemble that runs: see the stub."},
    {Py_tp_new, forest_new},
    {Py_tp_dealloc, forest_dealloc},
    {Py_tp_methods, forest_methods},
    {Py_tp_getset, forest_counts},
    {0, NULL},
};

static PyType_Spec forest_spec = {
    .name = "demijohn.kernels._kernels.Forest",
    .basicsize = sizeof(ForestObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = forest_slots,
};

static int
add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int result = PyModule_AddObjectRef(module, name, type);
    Py_DECREF(type);
    return result;
}

static int
fill_module(PyObject *module)
{
    if (add_type(module, "Forest", &forest_spec) < 0 || add_type(module, "Network", &network_spec) < 0) {
        return -1;
    }
    if (add_type(module, "Linear", &linear_spec) < 0 || add_type(module, "Neighbors", &neighbors_spec) < 0) {
        return -1;
    }
    return add_type(module, "Tally", &tally_spec);
}

static PyMethodDef functions[] = {
    {"are_between", (PyCFunction)(void (*)(void))are_between, METH_FASTCALL,
     "are_between(numbers, least, largest, /): see the stub."},
    {"copy_finite", (PyCFunction)(void (*)(void))copy_finite, METH_FASTCALL,
     "copy_finite(numbers, out, /): see the stub."},
    {"find_numbers", (PyCFunction)(void (*)(void))find_numbers, METH_FASTCALL,
     "find_numbers(body, max_bytes, /): see the stub."},
    {"find_codes", (PyCFunction)(void (*)(void))find_codes, METH_FASTCALL,
     "find_codes(cells, codes, unknown, /): see the stub."},
    {"join_columns", (PyCFunction)(void (*)(void))join_columns, METH_FASTCALL,
     "join_columns(columns, out, /): see the stub."},
    {"turn_columns", (PyCFunction)(void (*)(void))turn_columns, METH_FASTCALL,
     "turn_columns(columns, out, /): see the stub."},
    {"read_cells", (PyCFunction)(void (*)(void))read_cells, METH_FASTCALL,
     "read_cells(text, begin, max_rows, /): see the stub."},
    {"read_columns", (PyCFunction)(void (*)(void))read_columns, METH_FASTCALL,
     "read_columns(body, max_bytes, max_texts, /): see the stub."},
    {"read_frame", (PyCFunction)(void (*)(void))read_frame, METH_FASTCALL,
     "read_frame(body, max_cells, is_any_key, /): see the stub."},
    {"read_matrix", (PyCFunction)(void (*)(void))read_matrix, METH_FASTCALL,
     "read_matrix(body, max_elements, /): see the stub."},
    {"read_records", (PyCFunction)(void (*)(void))read_records, METH_FASTCALL,
     "read_records(body, max_cells, is_lines, /): see the stub."},
    {"read_table", (PyCFunction)(void (*)(void))read_table, METH_FASTCALL,
     "read_table(text, begin, max_rows, width, /): see the stub."},
    {"read_tensor", (PyCFunction)(void (*)(void))read_tensor, METH_FASTCALL,
     "read_tensor(body, max_elements, /): see the stub."},
    {"round_to_float32", round_to_float32, METH_O, "round_to_float32(numbers, /): see the stub."},
    {"add_to", (PyCFunction)(void (*)(void))add_to, METH_FASTCALL, "add_to(values, *pairs): see the stub."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "demijohn.kernels._kernels",
    .m_doc = "Demijohn's C kernels; demijohn.kernels wraps them.",
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__kernels(void)
{
    return PyModuleDef_Init(&module_definition);
}
