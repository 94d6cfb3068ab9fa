"""`crust torture`: faults of every kind are done to a server under load, and what it acknowledged is counted afterwards.

proxy.py      between processes: delays, silence, resets, cuts, slices
process.py    a process that is ended by whoever started it
rabbit.py     a RabbitMQ of one's own; stores.py, brokers.py: what was given, or is started
node.py       `crust serve` with deliveries and a clock that cannot be trusted
reader.py     another program that reads `crust.v1.events`, by the rule
authors.py, listeners.py   people who talk, people who listen
stage.py      all of it together
faults.py, links.py        the registry: what is done
ledger.py     what must be nothing
trial.py, report.py        one fault after another, and the table
"""
