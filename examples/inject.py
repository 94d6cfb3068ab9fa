"""Say something in a channel from a program that has nothing but RabbitMQ: python examples/inject.py URL ROOM NAME TEXT

The account in URL has to be one that the setting `broker.injects` lets speak as a bridge, and ROOM one that is linked over it. Sent again
under its `source_id` it is never a second message, so without an answer, or as long as the answer is `unavailable`, that is what to do;
and when RabbitMQ refuses it, because too much waits for the server, or returns it, because there is no queue.
"""

import itertools
import json
import sys
import time
import uuid
from urllib.parse import unquote, urlsplit

import pika

url, room, name, text = sys.argv[1:]
said = json.dumps({"room": room, "author": {"id": name, "name": name}, "contents": text, "source_id": uuid.uuid4().hex})
properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", user_id=unquote(urlsplit(url).username), delivery_mode=2)
for _attempt in range(20):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        answers = channel.consume("amq.rabbitmq.reply-to", auto_ack=True, inactivity_timeout=1)
        next(
            channel.consume("amq.rabbitmq.reply-to", auto_ack=True, inactivity_timeout=0.01)
        )  # answers are listened for before it is asked
        try:
            channel.basic_publish("crust.v1.inject", "crust.v1.inject", said, properties, mandatory=True)
        except (pika.exceptions.NackError, pika.exceptions.UnroutableError):
            time.sleep(1)
            continue
        for _method, _properties, body in itertools.islice(answers, 10):
            if body:
                error = json.loads(body).get("error", {})
                if error.get("code") == "unavailable":
                    time.sleep(1)
                    break
                print(body.decode())
                sys.exit(bool(error))
sys.exit("no answer")
