"""One call of each noun, as `curl` makes it, with the answer that it got; a test makes each anew and compares."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A command for a shell, and what it prints; JSON is laid out here for people."""

    command: str
    answer: str


EXAMPLES = {
    "user": Example(
        r'''curl -s "$CRUST/user/login" -d username=ana -d password="correct horse battery"''',
        """{
  "response": {
    "session_id": "uYM2GYAG5_mofLUExoEWhR34g0p4uug1MQjiFkqAzw4",
    "client_id": "mjBQ__uEUB6S2K_qph9VnA",
    "expires_at": "2026-12-26T15:57:02.675Z",
    "user": {
      "id": "29866599748993025",
      "username": "ana",
      "name": "ana",
      "avatar": null,
      "kind": "person",
      "origin": null,
      "created_at": "2026-11-26T15:56:49.099Z",
      "suspended_at": null,
      "presence": {
        "status": "offline",
        "text": null,
        "until": null
      },
      "email": "ana@example.org",
      "is_admin": true,
      "organisation_id": "29866599748993024"
    }
  }
}
""",
    ),
    "organisation": Example(
        r'''curl -s "$CRUST/organisation/search?query=home" -H "X-Session-ID: $SESSION"''',
        """{
  "response": [
    {
      "id": "29866599748993024",
      "name": "Home",
      "created_at": "2026-11-26T15:56:49.099Z",
      "updated_at": "2026-11-26T15:56:49.099Z",
      "archived_at": null,
      "role": "owner"
    }
  ],
  "next": null
}
""",
    ),
    "team": Example(
        r"""curl -s "$CRUST/team/edit" -H "X-Session-ID: $SESSION" -d name=Builders""",
        """{
  "response": {
    "id": "29866614115532800",
    "organisation_id": "29866599748993024",
    "name": "Builders",
    "created_at": "2026-11-26T15:57:02.800Z",
    "updated_at": "2026-11-26T15:57:02.800Z",
    "archived_at": null,
    "members": [],
    "channels": []
  }
}
""",
    ),
    "channel": Example(
        r'''curl -s "$CRUST/channel/edit" -H "X-Session-ID: $SESSION" -d name=news -d topic="What is new"''',
        """{
  "response": {
    "id": "29866614187884544",
    "organisation_id": "29866599748993024",
    "team_ids": [],
    "name": "news",
    "topic": "What is new",
    "type": "public",
    "members_count": 1,
    "last_message_id": "29866614187884548",
    "bridged": [],
    "created_at": "2026-11-26T15:57:02.869Z",
    "updated_at": "2026-11-26T15:57:02.869Z",
    "archived_at": null,
    "unread": 0,
    "mentions": 0,
    "muted": false,
    "last_read_id": "0"
  }
}
""",
    ),
    "message": Example(
        r"""curl -s "$CRUST/message/edit" -H "X-Session-ID: $SESSION" \
  -d channel_id="$CHANNEL" -d contents="Hello **world**" -d client_msg_id=first""",
        """{
  "response": {
    "id": "29866614218293248",
    "channel_id": "29866612822638592",
    "user_id": "29866599748993025",
    "type": "MESSAGE",
    "contents": "Hello **world**",
    "reply_to": null,
    "replies": 0,
    "attachments": [],
    "reactions": [],
    "mentions": [],
    "preview": null,
    "pinned": false,
    "client_msg_id": "first",
    "origin": null,
    "version": 1,
    "created_at": "2026-11-26T15:57:02.898Z",
    "edited_at": null,
    "flagged": false
  }
}
""",
    ),
    "file": Example(
        r"""curl -s "$CRUST/file/read?id=$FILE" -H "X-Session-ID: $SESSION" -r 0-7""",
        """Buy oats
""",
    ),
    "server": Example(
        r'''curl -s "$CRUST/server/audit?limit=1" -H "X-Session-ID: $SESSION"''',
        """{
  "response": [
    {
      "id": "29866599748993027",
      "user_id": null,
      "username": "the command line",
      "client_id": "",
      "address": "",
      "act": "user created",
      "organisation_id": "29866599748993024",
      "object": "29866599748993025",
      "details": {
        "name": "ana",
        "username": "ana"
      },
      "at": "2026-11-26T15:56:49.099Z"
    }
  ],
  "next": null
}
""",
    ),
    "health": Example(
        r'''curl -s "$CRUST/health/ready"''',
        """{
  "response": {
    "status": "ready"
  }
}
""",
    ),
    "metrics": Example(
        r"""curl -s "$CRUST/metrics" | grep websocket_open""",
        """# HELP crust_websocket_open Sockets that are open, those not signed in yet included
# TYPE crust_websocket_open gauge
crust_websocket_open 0.0
""",
    ),
}
