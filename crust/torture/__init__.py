"""`crust torture`: faults of every kind are done to a server under load, and what it acknowledged is counted afterwards.

proxy.py      between processes: delays, silence, resets, cuts, slices
process.py    a process that is ended by whoever started it
rabbit.py     a RabbitMQ of one's own; stores.py, brokers.py: what was given, or is started
fresh.py      a queue in which must be what RabbitMQ has confirmed
node.py       `crust serve` with deliveries and a clock that cannot be trusted
reader.py     another program that reads `crust.v1.events`, by the rule
authors.py, listeners.py   people who talk, people who listen
stage.py      all of it together
faults.py                  the registry: what is done (killing.py, links.py, services.py)
poison.py, poisoned.py     one of them: a plugin that does the worst it can
ledger.py     what must be nothing
trial.py, report.py        one fault after another, and the table
"""
