"""What the process tells of itself.

logging.py      structured logs, on standard error
metrics.py      what a node counts: every metric there is
exposition.py   the same as Prometheus reads it; imported only by who serves it
"""

from crust.telemetry.logging import configure, get_logger
from crust.telemetry.metrics import Metrics

__all__ = ["Metrics", "configure", "get_logger"]
