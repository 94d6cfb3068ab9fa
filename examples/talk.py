"""Talk in a channel from a terminal; the example of a client that loses nothing.

    .venv/bin/python examples/talk.py ana general

It keeps one number, the position of the last event that it has dealt with, and comes back with it: whatever happens to the network or
the server, it is given what it missed, once. Each line that is typed bears a key, so that sending it again is never a second message.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import sys
import urllib.parse
import urllib.request
import uuid

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

CLIENT_ID = f"talk-{os.getpid()}"


def call(url: str, path: str, session: str = "", **fields: str) -> dict:
    """POST to the API; gives the response."""
    headers = {"X-Client-ID": CLIENT_ID} | ({"X-Session-ID": session} if session else {})
    request = urllib.request.Request(url + path, urllib.parse.urlencode(fields).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["response"]


class Talk:
    """One person in one channel."""

    def __init__(self, url: str, session: str, channel: str) -> None:
        self.url, self.session, self.channel = url, session, channel
        self.place = ""  # <epoch>.<position>: all that has to be kept
        self.unsent: dict[str, str] = {}  # key → line, until it is acknowledged
        self.names: dict[str, str] = {}
        self.shown: set[str] = set()

    async def run(self) -> None:
        """Stay connected until the end of the input."""
        reading = asyncio.create_task(self.read_lines())
        while not reading.done() or self.unsent:
            try:
                query = f"?resume={self.place}" if self.place else ""
                headers = {"X-Client-ID": CLIENT_ID, "X-Session-ID": self.session}
                address = self.url.replace("http", "ws", 1) + "/websocket/client" + query
                async with connect(address, additional_headers=headers) as self.socket:
                    await asyncio.gather(self.receive(self.socket), self.resend())
            except (OSError, WebSocketException):
                if not reading.done():
                    print("… not connected; trying again")
            await asyncio.sleep(1)

    async def read_lines(self) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                key = uuid.uuid4().hex
                self.unsent[key] = line.strip()
                await self.send(key)
        await asyncio.sleep(1)
        if hasattr(self, "socket"):
            await self.socket.close()

    async def send(self, key: str) -> None:
        data = {"channel_id": self.channel, "contents": self.unsent[key], "client_msg_id": key}
        with contextlib.suppress(AttributeError, WebSocketException):  # not connected: `resend` will
            await self.socket.send(json.dumps({"id": key, "type": "message", "data": data}))

    async def resend(self) -> None:
        for key in list(self.unsent):
            await self.send(key)

    async def receive(self, socket: ClientConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            if "reply_to" in frame:
                self.answered(frame)
            elif "position" in frame:
                self.happened(frame)
                self.place = f"{self.place.split('.')[0]}.{frame['position']}"
            elif frame["type"] == "hello" and not frame["data"]["resumed"]:
                self.place = f"{frame['data']['epoch']}.{frame['data']['position']}"
            elif frame["type"] == "channel" and frame["data"]["id"] == self.channel:
                self.names |= {member["id"]: member["name"] for member in frame["data"]["members"]}
                for message in frame["data"]["messages"]:
                    self.show(message)

    def answered(self, frame: dict) -> None:
        if "error" not in frame:
            self.unsent.pop(frame["reply_to"], None)
        elif frame["error"]["code"] not in ("rate_limited", "unavailable"):
            print("!", frame["error"]["message"])
            self.unsent.pop(frame["reply_to"], None)

    def happened(self, frame: dict) -> None:
        data = frame["data"]
        if frame["type"] == "member" and frame["channel_id"] == self.channel:
            self.names[data["user_id"]] = data["user"]["name"]
            print(f"* {data['user']['name']} {frame['event'].lower()}")
        if frame["type"] == "message" and frame["event"] == "CREATED" and frame["channel_id"] == self.channel:
            self.show(data)

    def show(self, message: dict) -> None:
        """A message may come in a snapshot and as an event: its id tells."""
        if message["id"] not in self.shown:
            self.shown.add(message["id"])
            verb = {"CREATE": "made ", "TOPIC": "set the topic: ", "RENAME": "renamed it: "}.get(message["type"], "")
            print(f"{self.names.get(message['user_id'], '?')}: {verb}{message['contents'] or ''}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("username")
    parser.add_argument("channel", help="its name; made if there is none")
    parser.add_argument("--url", default="http://127.0.0.1:8400")
    arguments = parser.parse_args()
    password = os.environ.get("CRUST_PASSWORD") or getpass.getpass()
    session = call(arguments.url, "/user/login", username=arguments.username, password=password)["session_id"]
    search = urllib.request.Request(
        f"{arguments.url}/channel/search?{urllib.parse.urlencode({'query': arguments.channel})}", headers={"X-Session-ID": session}
    )
    with urllib.request.urlopen(search) as answer:
        found = [channel["id"] for channel in json.load(answer)["response"] if channel["name"] == arguments.channel]
    channel = found[0] if found else call(arguments.url, "/channel/edit", session, name=arguments.channel, topic="")["id"]
    call(arguments.url, "/channel/join", session, id=channel)
    asyncio.run(Talk(arguments.url, session, channel).run())


if __name__ == "__main__":
    main()
