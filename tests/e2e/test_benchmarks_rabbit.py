"""The benchmarks that need RabbitMQ work; in a file of their own, so that they run beside the others."""

from __future__ import annotations

import pytest

from tests.e2e.test_benchmarks import WITH_RABBITMQ, run


@pytest.mark.rabbit
@pytest.mark.postgres
@pytest.mark.timeout(500)
@pytest.mark.parametrize("case", WITH_RABBITMQ)
def test_a_benchmark_with_rabbitmq_prints_its_rows(case: str) -> None:
    """The same, over a RabbitMQ that it starts and stops."""
    run(case)
