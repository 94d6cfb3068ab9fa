"""The benchmarks that need RabbitMQ work; in a file of their own, so that they run beside the others."""

from __future__ import annotations

import pytest

from tests.e2e.test_benchmarks import WITH_RABBITMQ, run


@pytest.mark.rabbit
@pytest.mark.postgres
@pytest.mark.timeout(500)
def test_every_benchmark_with_rabbitmq_prints_its_rows() -> None:
    """The same, over a RabbitMQ that it starts and stops."""
    run(*WITH_RABBITMQ)
