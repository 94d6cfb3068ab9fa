"""How often people do what."""

from __future__ import annotations

from tests.e2e.soak import comings, nonsense, rooms, talk
from tests.e2e.soak.people import Action

ACTIONS: dict[Action, int] = {
    talk.say: 300,
    talk.say_much: 20,
    talk.write_to: 20,
    talk.say_and_vanish: 8,
    talk.reply: 50,
    talk.edit: 70,
    talk.edit_anothers: 5,
    talk.remove: 20,
    talk.mark: 50,
    talk.read_page: 70,
    talk.read_one: 20,
    rooms.make: 6,
    rooms.make_direct: 5,
    rooms.join: 15,
    rooms.part: 40,
    rooms.invite: 10,
    rooms.kick: 8,
    rooms.change: 10,
    rooms.view: 30,
    rooms.look_at: 20,
    rooms.search: 15,
    rooms.typing: 30,
    rooms.presence: 12,
    rooms.people: 15,
    comings.come: 60,
    comings.come_with_nonsense: 3,
    comings.ping: 10,
    comings.doze: 4,
    comings.sign_in: 5,
    comings.sign_in_wrongly: 1,
    nonsense.ask_nonsense: 40,
    nonsense.ask_badly_in_a_channel: 15,
    nonsense.send_nonsense: 20,
    nonsense.flood: 2,
    nonsense.go_too_far: 5,
    nonsense.never_sign_in: 4,
    nonsense.repeat_an_id: 5,
    nonsense.hang_up_in_mid_sentence: 12,
}
