"""The host of plugins and bridges.

consumer.py   what the host asks of whoever consumes events, and what it hands to them
engine.py     delivers events to consumers: what to start, once a process
dispatch.py   from the log to rows: one for each event and lane
work.py       from rows to handlers: each lane in order, lanes side by side
attempt.py    one run of a handler, and what came of it
schedule.py   what a failure means: when to try again, when to park
rows.py       the rows: what is due, what is claimed, how it ended
store.py      documents of an instance; inside a handler they are written with the handler's end
held.py       what is held back until then
desk.py       what operators see of it all, and what they can do
sweeping.py   removes what is old
bridges.py    how bridges and their links are, for operators
programs.py, refused.py   what programs send by RabbitMQ, and what of it cannot be
eraser.py     takes out of all that what may quote a message that was removed
bounded.py    a plugin's code as a task of its own, with a name, a time and an end
watchdog.py   names what stops everything else, and ends the process if that takes too long
registration.py, kinds.py  which plugins there are, and what is wrong with those that cannot be at work
plugins.py    all instances of a process; instance.py  one of them, as a consumer; context.py, chat.py  what it has
chain.py      the filters, asked before something happens
bridge_instance.py, linking.py  an instance that is a bridge, and how links are made with it; bridging.py, carrying.py, checkpoints.py
              what comes in over a link, what goes out, what became of it; hints.py  who is typing
supervisor.py, states.py  lets an instance live, one process at a time, and says how it is
egress.py, addresses.py   the one client for outgoing HTTP
"""
