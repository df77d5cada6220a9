/* Columns as the rows of one matrix, and texts as the numbers that a model knows them by.
 *
 * Rules of this room:
 * 1. Numbers are moved, never computed with. On the way it is seen whether one is NaN, or infinite: a pass of
 *    its own would cost as much as the moving.
 * 2. A text that stands in many rows is, as a rule, one object there: it is looked up once or a few times.
 */
#include "_columns.h"

#include <math.h>
#include <string.h>

#include "_buffers.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TILE 16    /* rows: two cache lines of a column */
#define MANY 500000 /* numbers: to move them takes longer than another thread should wait */
#define N_SEEN 512 /* a power of two */

/* Rows from begin to end of one column, or of two that go side by side; whether one is NaN. */
static int
move_one(const char *column, size_t begin, size_t end, size_t width, double *out)
{
    int is_missing = 0;
    for (size_t row = begin; row < end; row++) {
        double value;
        memcpy(&value, column + row * sizeof value, sizeof value);
        is_missing |= value != value;
        out[row * width] = value;
    }
    return is_missing;
}

static inline int
move_two(const char *left, const char *right, size_t begin, size_t end, size_t width, double *out)
{
#ifdef __SSE2__
    __m128d missing = _mm_setzero_pd();
    size_t row = begin;
    for (; row + 2 <= end; row += 2) {
        __m128d a = _mm_loadu_pd((const double *)(const void *)(left + row * 8));
        __m128d b = _mm_loadu_pd((const double *)(const void *)(right + row * 8));
        missing = _mm_or_pd(missing, _mm_cmpunord_pd(a, b));
        _mm_storeu_pd(out + row * width, _mm_unpacklo_pd(a, b));
        _mm_storeu_pd(out + (row + 1) * width, _mm_unpackhi_pd(a, b));
    }
    int rest = move_one(left, row, end, width, out) | move_one(right, row, end, width, out + 1);
    return _mm_movemask_pd(missing) != 0 || rest;
#else
    return move_one(left, begin, end, width, out) | move_one(right, begin, end, width, out + 1);
#endif
}

static int
move_all(const char *const *columns, size_t n_columns, size_t n_rows, double *out)
{
    int is_missing = 0;
    for (size_t begin = 0; begin < n_rows; begin += TILE) {
        size_t end = n_rows - begin < TILE ? n_rows : begin + TILE, column = 0;
        for (; column + 2 <= n_columns; column += 2) {
            is_missing |= move_two(columns[column], columns[column + 1], begin, end, n_columns, out + column);
        }
        if (column < n_columns) {
            is_missing |= move_one(columns[column], begin, end, n_columns, out + column);
        }
    }
    return is_missing;
}

/* Write columns of doubles, wherever they stand, as rows; whether one is NaN. */
static PyObject *
move_columns(const char *const *columns, size_t n_columns, size_t n_rows, double *out)
{
    int is_missing = 0;
    if (n_columns * n_rows < MANY) {
        is_missing = move_all(columns, n_columns, n_rows, out);
    } else {
        Py_BEGIN_ALLOW_THREADS
        is_missing = move_all(columns, n_columns, n_rows, out);
        Py_END_ALLOW_THREADS
    }
    return PyBool_FromLong(is_missing);
}

static PyObject *
refuse(const char *text)
{
    PyErr_SetString(PyExc_ValueError, text);
    return NULL;
}

/* Room for as many pointers; NULL with an error. */
static const char **
pointers(size_t count)
{
    const char **made = PyMem_Calloc(count ? count : 1, sizeof *made);
    if (made == NULL) {
        PyErr_NoMemory();
    }
    return made;
}

PyObject *
turn_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Py_buffer given, out;
    if (n_args != 2) {
        PyErr_SetString(PyExc_TypeError, "turn_columns takes the columns and out.");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &given, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    const char **columns = NULL;
    if (given.ndim != 2 || strcmp(given.format, "d") != 0 || (given.shape[0] > 1 && given.strides[0] != 8)) {
        refuse("columns: expected float64s, each column in one piece.");
    } else if (take_buffer(args[1], 'd', 2, PyBUF_WRITABLE, "out", &out) == 0) {
        if (out.shape[0] != given.shape[0] || out.shape[1] != given.shape[1]) {
            refuse("out: expected the shape of the columns.");
        } else if ((columns = pointers((size_t)given.shape[1])) != NULL) {
            for (Py_ssize_t index = 0; index < given.shape[1]; index++) {
                columns[index] = (const char *)given.buf + index * given.strides[1];
            }
            result = move_columns(columns, (size_t)given.shape[1], (size_t)given.shape[0], out.buf);
        }
        PyBuffer_Release(&out);
    }
    PyMem_Free(columns);
    PyBuffer_Release(&given);
    return result;
}

/* Move columns that are arrays of their own; the buffers are there for as long as that takes. */
static PyObject *
join_all(PyObject *given, Py_ssize_t n_columns, Py_buffer *buffers, const char **columns, const Py_buffer *out)
{
    PyObject *result = NULL;
    Py_ssize_t taken = 0;
    for (; taken < n_columns; taken++) {
        if (take_buffer(PyTuple_GetItem(given, taken), 'd', 1, 0, "a column", buffers + taken) < 0) {
            break;
        }
        columns[taken] = buffers[taken].buf;
        if (buffers[taken].shape[0] != out->shape[0]) {
            PyBuffer_Release(buffers + taken);
            refuse("columns: expected as many rows as out has.");
            break;
        }
    }
    if (taken == n_columns) {
        result = move_columns(columns, (size_t)n_columns, (size_t)out->shape[0], out->buf);
    }
    while (taken-- > 0) {
        PyBuffer_Release(buffers + taken);
    }
    return result;
}

PyObject *
join_columns(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Py_buffer out;
    if (n_args != 2 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "join_columns takes the columns, as a tuple, and out.");
        return NULL;
    }
    Py_ssize_t n_columns = PyTuple_Size(args[0]);
    if (take_buffer(args[1], 'd', 2, PyBUF_WRITABLE, "out", &out) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    Py_buffer *buffers = PyMem_Calloc(n_columns ? (size_t)n_columns : 1, sizeof *buffers);
    const char **columns = pointers((size_t)n_columns);
    if (out.shape[1] != n_columns) {
        refuse("out: expected a column for each.");
    } else if (buffers == NULL) {
        PyErr_NoMemory();
    } else if (columns != NULL) {
        result = join_all(args[0], n_columns, buffers, columns, &out);
    }
    PyMem_Free(buffers);
    PyMem_Free(columns);
    PyBuffer_Release(&out);
    return result;
}

/* Copy doubles from wherever they stand; whether all are finite. */
static int
copy_all(const char *numbers, size_t n_numbers, double *out)
{
    size_t index = 0;
    int are_finite = 1;
#ifdef __SSE2__
    __m128d nan = _mm_setzero_pd(), other_nan = _mm_setzero_pd(); /* what is not finite leaves NaN less itself */
    for (; index + 4 <= n_numbers; index += 4) {
        __m128d a = _mm_loadu_pd((const double *)(const void *)(numbers + index * sizeof(double)));
        __m128d b = _mm_loadu_pd((const double *)(const void *)(numbers + (index + 2) * sizeof(double)));
        nan = _mm_or_pd(nan, _mm_sub_pd(a, a));
        other_nan = _mm_or_pd(other_nan, _mm_sub_pd(b, b));
        _mm_storeu_pd(out + index, a);
        _mm_storeu_pd(out + index + 2, b);
    }
    are_finite = _mm_movemask_pd(_mm_cmpunord_pd(nan, other_nan)) == 0;
#endif
    for (; index < n_numbers; index++) {
        memcpy(out + index, numbers + index * sizeof(double), sizeof(double));
        are_finite &= isfinite(out[index]) != 0;
    }
    return are_finite;
}

PyObject *
copy_finite(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Py_buffer numbers, out;
    if (n_args != 2) {
        PyErr_SetString(PyExc_TypeError, "copy_finite takes the numbers, as bytes, and out.");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &numbers, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (take_buffer(args[1], 'd', 0, PyBUF_WRITABLE, "out", &out) == 0) {
        if (numbers.len != out.len) {
            refuse("numbers: expected as many bytes as out has.");
        } else {
            int are_finite;
            size_t count = (size_t)out.len / sizeof(double);
            if (count < MANY) {
                are_finite = copy_all(numbers.buf, count, out.buf);
            } else {
                Py_BEGIN_ALLOW_THREADS
                are_finite = copy_all(numbers.buf, count, out.buf);
                Py_END_ALLOW_THREADS
            }
            result = PyBool_FromLong(are_finite);
        }
        PyBuffer_Release(&out);
    }
    PyBuffer_Release(&numbers);
    return result;
}

/* Texts ----------------------------------------------------------------------------------- */

typedef struct {
    PyObject *cell; /* in the array, which keeps it; NULL: nothing was seen here */
    double code;
} Seen;

/* The code of a cell. 0; 1 if it is neither a text nor None; -1 with an error. */
static int
look_up(PyObject *cell, PyObject *codes, double unknown, double *code)
{
    if (!PyUnicode_CheckExact(cell) && cell != Py_None) {
        return 1;
    }
    PyObject *known = PyDict_GetItemWithError(codes, cell);
    if (known == NULL) {
        *code = unknown;
        return PyErr_Occurred() ? -1 : 0;
    }
    *code = PyFloat_AsDouble(known);
    return *code == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* As look_up, of all cells. */
static int
look_up_all(const Py_buffer *cells, PyObject *codes, double unknown, double *found)
{
    Seen seen[N_SEEN] = {{NULL, 0.0}};
    const char *at = cells->buf;
    for (Py_ssize_t row = 0; row < cells->shape[0]; row++, at += cells->strides[0]) {
        PyObject *cell;
        memcpy(&cell, at, sizeof cell);
        if (cell == NULL) {
            return 1;
        }
        Seen *place = seen + (((uint64_t)(uintptr_t)cell * 0x9e3779b97f4a7c15u) >> 55);
        if (place->cell != cell) {
            int result = look_up(cell, codes, unknown, &place->code);
            if (result != 0) {
                return result;
            }
            place->cell = cell;
        }
        found[row] = place->code;
    }
    return 0;
}

PyObject *
find_codes(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Py_buffer cells;
    if (n_args != 3 || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "find_codes takes the cells, the codes, as a dict, and that of others.");
        return NULL;
    }
    double unknown = PyFloat_AsDouble(args[2]);
    if ((unknown == -1.0 && PyErr_Occurred()) ||
        PyObject_GetBuffer(args[0], &cells, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (cells.ndim != 1 || strcmp(cells.format, "O") != 0) {
        refuse("cells: expected an array of objects with one dimension.");
    } else {
        result = PyByteArray_FromStringAndSize(NULL, cells.shape[0] * (Py_ssize_t)sizeof(double));
    }
    if (result != NULL) {
        int is_other = look_up_all(&cells, args[1], unknown, (double *)(void *)PyByteArray_AsString(result));
        if (is_other != 0) {
            Py_DECREF(result);
            result = is_other > 0 ? Py_NewRef(Py_None) : NULL;
        }
    }
    PyBuffer_Release(&cells);
    return result;
}
