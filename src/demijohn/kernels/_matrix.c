/* A JSON body that is exactly a matrix of numbers, or of lists of them, read in one pass.
 *
 * Rules of this room:
 * 1. It takes [[...], ...], {"instances": [[...], ...]} and {"inputs": [[...], ...]}: rows of one shape, lists in
 *    lists down to numbers, at least one row of at least one number. Of anything else it says nothing (None): the
 *    general reader answers it, or says what is wrong.
 * 2. What it takes is JSON to the letter (RFC 8259), and means what Python's json reads in it.
 */
#include "_matrix.h"

#include "_lists.h"

static int
skip_text(Reader *reader, const char *text)
{
    size_t n_bytes = strlen(text);
    if ((size_t)(reader->end - reader->at) < n_bytes || memcmp(reader->at, text, n_bytes) != 0) {
        return -1;
    }
    reader->at += n_bytes;
    return 0;
}

static int
read_body(Reader *reader)
{
    reader->at = skip_blanks(reader->at);
    int is_object = *reader->at == '{';
    if (is_object) {
        reader->at = skip_blanks(reader->at + 1);
        if (skip_text(reader, "\"instances\"") < 0 && skip_text(reader, "\"inputs\"") < 0) {
            return -1;
        }
        reader->at = skip_blanks(reader->at);
        if (*reader->at++ != ':') {
            return -1;
        }
        reader->at = skip_blanks(reader->at);
    }
    if (*reader->at++ != '[' || read_list(reader, 0) < 0) {
        return -1;
    }
    reader->at = skip_blanks(reader->at);
    if (is_object) {
        if (*reader->at++ != '}') {
            return -1;
        }
        reader->at = skip_blanks(reader->at);
    }
    return reader->at == reader->end ? 0 : -1;
}

PyObject *
read_matrix(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    Reader reader;
    if (n_args != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "read_matrix takes the body, as bytes, and the largest number of elements.");
        return NULL;
    }
    if (open_reader(&reader, args[0], args[1]) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (read_body(&reader) == 0) {
        PyObject *shape = take_shape(&reader), *numbers = shape == NULL ? NULL : take_numbers(&reader);
        result = numbers == NULL ? NULL : PyTuple_Pack(2, shape, numbers);
        Py_XDECREF(shape);
        Py_XDECREF(numbers);
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    close_reader(&reader);
    return result;
}
