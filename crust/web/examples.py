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
    "session_id": "7kRULLyC3WdOdm645JsTldTP2UDwifOFPVsMAZ16dGQ",
    "client_id": "SeCpYIK3eiOcuHsdTHE5fg",
    "expires_at": "2026-12-26T16:15:55.006Z",
    "user": {
      "id": "29867794409455617",
      "username": "ana",
      "name": "ana",
      "avatar": null,
      "kind": "person",
      "origin": null,
      "created_at": "2026-11-26T16:15:48.416Z",
      "suspended_at": null,
      "presence": {
        "status": "offline",
        "text": null,
        "until": null
      },
      "email": "ana@example.org",
      "is_admin": true,
      "organisation_id": "29867794409455616"
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
      "id": "29867794409455616",
      "name": "Home",
      "created_at": "2026-11-26T16:15:48.416Z",
      "updated_at": "2026-11-26T16:15:48.416Z",
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
    "id": "29867801386680320",
    "organisation_id": "29867794409455616",
    "name": "Builders",
    "created_at": "2026-11-26T16:15:55.070Z",
    "updated_at": "2026-11-26T16:15:55.070Z",
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
    "id": "29867801420234752",
    "organisation_id": "29867794409455616",
    "team_ids": [],
    "name": "news",
    "topic": "What is new",
    "type": "public",
    "members_count": 1,
    "last_message_id": "29867801420234756",
    "bridged": [],
    "created_at": "2026-11-26T16:15:55.102Z",
    "updated_at": "2026-11-26T16:15:55.102Z",
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
    "id": "29867801451692032",
    "channel_id": "29867800809963520",
    "user_id": "29867794409455617",
    "type": "MESSAGE",
    "contents": "Hello **world**",
    "reply_to": null,
    "replies": 0,
    "attachments": [],
    "reactions": [],
    "mentions": [],
    "channels": [],
    "preview": null,
    "pinned": false,
    "client_msg_id": "first",
    "origin": null,
    "version": 1,
    "created_at": "2026-11-26T16:15:55.132Z",
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
      "id": "29867794409455619",
      "user_id": null,
      "username": "the command line",
      "client_id": "",
      "address": "",
      "act": "user created",
      "organisation_id": "29867794409455616",
      "object": "29867794409455617",
      "details": {
        "name": "ana",
        "username": "ana"
      },
      "at": "2026-11-26T16:15:48.416Z"
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
