import threadpoolctl
from sklearn.utils import _openmp_helpers  # noqa: F401 - it brings a library of OpenMP's

from demijohn.runtimes.openmp import OneThread


def n_threads():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]


def test_openmp_has_one_thread_as_long_as_it_is_asked_to():
    with threadpoolctl.threadpool_limits(3, user_api="openmp"):
        one_thread = OneThread()
        with one_thread():
            assert set(n_threads()) == {1}
        assert set(n_threads()) == {3}


def test_lightgbms_own_bound_is_put_back():
    from ctypes import byref, c_int

    from lightgbm.basic import _LIB

    def bound():
        found = c_int()
        _LIB.LGBM_GetMaxThreads(byref(found))
        return found.value

    before = bound()
    with OneThread()():
        assert bound() == 1
    assert bound() == before
