"""A bridge for programs that send what people say elsewhere by RabbitMQ."""

from crust_program.program import Config, Program

__all__ = ["Config", "Program"]
