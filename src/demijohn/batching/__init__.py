"""Natural batching: what arrives while the model is busy goes together in its next call.

Rules of this room:
1. There is no timer: a model that is idle runs a request at once, on the model's own thread, so
   that the waiting request can be answered 504 at its deadline while the run goes on. Only after a
   joined call, when more of a crowd is on its way, that thread first gives way to all others that can
   run, for as long as that brings new requests.
2. The oldest waiting request decides the layout of the next call. Others of that layout join it, in
   their order, up to ``max_batch_size`` rows and while that pays (``pace``). A layout is the method
   and the names, dtypes and row shapes of the tensors; a request with parameters, one as large as a
   batch, one without rows and one of a method that nobody vouched for run alone and whole.
3. What cannot be joined after all costs nobody their answer: where a joined call raises or returns
   another number of rows, its members run alone, and a bad row fails alone.
4. An empty queue takes any request. Else one is refused (503) that would make it too long in rows
   or in expected seconds. What expires before it is started is refused too, and never computed.
5. Who is answered gets arrays of its own: a cut of the joined answer is copied, since a view would
   keep everybody's rows alive, and within reach (``.base``), for as long as one caller keeps its own.
   The callers of a joined call go one after another, and the next call begins when the last has gone:
   their answers wait for no call, and those who come back meanwhile are in it. Who is to be told rather
   than waits (``send``) is told before them, by the model's thread: that wakes nobody.
6. What answers in pieces (``open``) runs alone, and has the model until its last piece; see ``stream``.
7. Threads start on first use, are daemons, outlive whatever the model raises, and hold the batcher
   only while they work. A fork copies no threads and may copy a held lock: a child starts anew.
"""

from .batcher import Batcher
from .observer import BatchObserver
from .stream import Stream
from .waiting import Outcome, Waiting

__all__ = ["BatchObserver", "Batcher", "Outcome", "Stream", "Waiting"]
