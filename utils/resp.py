"""A minimal RESP2/RESP3 client for the scripts in this directory.

Replies become Python values: bulk strings are bytes, integers int, null None, arrays lists; everything else is a `Reply`,
a pair of the type's byte and its payload (("+", b"OK"), ("-", b"ERR …"), ("%", [[key, value], …]) and so on).
"""

import socket
from typing import NamedTuple


class Reply(NamedTuple):
    kind: str
    value: object


def encode(words):
    """One request; words are bytes, str or int."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Client:
    """A blocking connection; ConnectionError when the server closes it, TimeoutError when it is silent too long. With `path` it goes
    over the Unix socket there."""

    def __init__(self, port, host="127.0.0.1", resp=2, timeout=60, path=None):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            # Waits where too many want to connect, which it does not with a time limit.
            self.socket.connect(path)
            self.socket.settimeout(timeout)
        else:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb", 1 << 16)
        if resp == 3:
            self.call("HELLO", 3)

    def close(self):
        self.stream.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def call(self, *words):
        self.send(encode(words))
        return self.read()

    def pipeline(self, commands):
        """Sends all commands, then reads all replies."""
        self.send(b"".join(map(encode, commands)))
        return [self.read() for _ in commands]

    def read(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed by the server")
        kind, rest = chr(line[0]), line[1:-2]
        if kind == "$":
            return None if rest == b"-1" else self._bytes(int(rest))
        if kind == ":":
            return int(rest)
        if kind in "+-,(#":
            return Reply(kind, rest)
        if kind == "_":
            return None
        if kind == "=":
            return Reply("=", self._bytes(int(rest)))
        if kind == "%":
            return Reply("%", [[self.read(), self.read()] for _ in range(int(rest))])
        if kind in "*~>":
            if rest == b"-1":
                return None
            items = [self.read() for _ in range(int(rest))]
            return items if kind == "*" else Reply(kind, items)
        raise ValueError(f"not a reply: {line[:100]!r}")

    def _bytes(self, count):
        data = self.stream.read(count + 2)
        if len(data) < count + 2:
            raise ConnectionError("closed by the server")
        return data[:-2]

    def info(self, section="everything"):
        """INFO as a dict of strings."""
        text = self.call("INFO", section)
        if isinstance(text, Reply):
            text = text.value
        lines = (line.split(":", 1) for line in text.decode().splitlines() if ":" in line and line[0] != "#")
        return {name: value for name, value in lines}
