"""Print every message of crust.v1.events. `pip install pika`, then: python examples/every_event.py amqp://ACCOUNT:PASSWORD@HOST:5672/ [KEY]

An account that was granted a part of it (broker.grants) binds to that part: `o.17.public.#` for the public channels of organisation 17.
"""

import sys
from urllib.parse import urlsplit

import pika

channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
queue = f"{urlsplit(sys.argv[1]).username}.every_event"  # an account's queues begin with its name
channel.queue_declare(queue, exclusive=True)
channel.queue_bind(queue, "crust.v1.events", sys.argv[2] if len(sys.argv) > 2 else "#")
for method, properties, body in channel.consume(queue, auto_ack=True):
    print(properties.headers["position"], method.routing_key, body.decode(), flush=True)
