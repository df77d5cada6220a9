"""What is counted, and how it is shown to Prometheus: all workers of a server added up.

Rules of this room:
1. A family is declared once, in ``families.py``; its name follows Prometheus' conventions.
2. A label is a name that was registered, by ``Metrics.observer``, never a text that a client chose:
   what is not registered is counted under "".
3. To count is to add to doubles in mapped memory: no lock of another process, no system call.
4. Nothing is global: each ``Metrics`` counts apart, and its host's own metrics are not touched.

Source: Prometheus, "Metric and label naming", and its text exposition format 0.0.4.
"""

from .metrics import Metrics
from .statistics import Statistics

__all__ = ["Metrics", "Statistics"]
