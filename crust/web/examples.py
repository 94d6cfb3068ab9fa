"""One call of each noun, as `curl` makes it, with the answer that it got; a test makes each anew and compares."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A command for a shell, and what it prints; JSON is laid out here for people."""

    command: str
    answer: str


EXAMPLES: dict[str, Example] = {
    "user": Example(
        r'''curl -s "$CRUST/user/login" -d username=ana -d password="correct horse battery"''',
        """{
  "response": {
    "session_id": "3CmY5WDn8Fnz9Rh-iBCb0HqjHJj9Nci-gX49mO9pYIc",
    "client_id": "GlOyBAYsMaJQZDxK3UQLmw",
    "expires_at": "2026-12-26T16:19:37.068Z",
    "user": {
      "id": "29868027266727937",
      "username": "ana",
      "name": "ana",
      "avatar": null,
      "kind": "person",
      "origin": null,
      "created_at": "2026-11-26T16:19:30.486Z",
      "suspended_at": null,
      "presence": {
        "status": "offline",
        "text": null,
        "until": null
      },
      "email": "ana@example.org",
      "is_admin": true,
      "organisation_id": "29868027266727936"
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
      "id": "29868027266727936",
      "name": "Home",
      "created_at": "2026-11-26T16:19:30.486Z",
      "updated_at": "2026-11-26T16:19:30.486Z",
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
    "id": "29868034226126848",
    "organisation_id": "29868027266727936",
    "name": "Builders",
    "created_at": "2026-11-26T16:19:37.123Z",
    "updated_at": "2026-11-26T16:19:37.123Z",
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
    "id": "29868034260729856",
    "organisation_id": "29868027266727936",
    "team_ids": [],
    "name": "news",
    "topic": "What is new",
    "type": "public",
    "members_count": 1,
    "last_message_id": "29868034260729860",
    "bridged": [],
    "created_at": "2026-11-26T16:19:37.156Z",
    "updated_at": "2026-11-26T16:19:37.156Z",
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
    "id": "29868034277507072",
    "channel_id": "29868033449132032",
    "user_id": "29868027266727937",
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
    "created_at": "2026-11-26T16:19:37.172Z",
    "edited_at": null,
    "flagged": false
  }
}
""",
    ),
    "command": Example(
        r'''curl -s "$CRUST/command/search?channel_id=$CHANNEL&query=to" -H "X-Session-ID: $SESSION"''',
        """{
  "response": [
    {
      "id": "1008",
      "name": "/topic",
      "usage": "/topic [topic…]",
      "help": "Sets the channel's topic; without one, says what it is.",
      "plugin": "commands",
      "arguments": [
        {
          "name": "topic",
          "expected": "text",
          "required": false,
          "several": false,
          "rest": true,
          "choices": [],
          "help": ""
        }
      ]
    }
  ],
  "next": null
}
""",
    ),
    "file": Example(
        r"""curl -s "$CRUST/file/read?id=$FILE" -H "X-Session-ID: $SESSION" -r 0-7""",
        """Buy oats
""",
    ),
    "plugin": Example(
        r'''curl -s "$CRUST/plugin/search" -H "X-Session-ID: $SESSION"''',
        """{
  "response": [
    {
      "id": "1000",
      "name": "commands",
      "plugin": "commands",
      "enabled": true,
      "state": "running",
      "reason": null,
      "node": "chat-1",
      "since": "2026-11-27T00:47:15.591Z",
      "organisations": [],
      "capabilities": [
        "read:public",
        "user:act"
      ],
      "hooks": [
        "register_commands"
      ],
      "commands": [
        "/help",
        "/invite",
        "/me",
        "/shrug",
        "/topic"
      ]
    },
    {
      "id": "1001",
      "name": "pager",
      "plugin": "program",
      "enabled": true,
      "state": "running",
      "reason": null,
      "node": "chat-1",
      "since": "2026-11-27T00:47:15.596Z",
      "organisations": [],
      "capabilities": [
        "bridge:ghosts",
        "bridge:inject",
        "read:private",
        "read:public"
      ],
      "hooks": [],
      "commands": []
    }
  ],
  "next": null
}
""",
    ),
    "bridge": Example(
        r'''curl -s "$CRUST/bridge/search" -H "X-Session-ID: $SESSION"''',
        """{
  "response": [
    {
      "id": "29899972163928064",
      "bridge": "pager",
      "network": "pager.example",
      "state": null,
      "reason": null,
      "crossings": {
        "edit": "dropped",
        "remove": "dropped",
        "react": "dropped",
        "reply": "dropped",
        "thread": "dropped",
        "file": "dropped",
        "typing": "dropped",
        "formatting": "dropped"
      },
      "characters": null,
      "lines": null,
      "file_bytes": null,
      "links": []
    }
  ],
  "next": null
}
""",
    ),
    "server": Example(
        r'''curl -s "$CRUST/server/audit?limit=1" -H "X-Session-ID: $SESSION"''',
        """{
  "response": [
    {
      "id": "29900030916689922",
      "user_id": null,
      "username": "the server",
      "client_id": "",
      "address": "",
      "act": "user created",
      "organisation_id": null,
      "object": "29900030916689920",
      "details": {
        "name": "pager",
        "username": "pager"
      },
      "at": "2026-11-27T00:48:11.545Z"
    }
  ],
  "next": "29900030916689922"
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
