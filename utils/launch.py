"""Starts servers for the scripts in this directory: on a free loopback port, in a temporary directory, and so that none
outlives the script."""

import random
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from resp import Client

OURS = Path(__file__).resolve().parent.parent / "target/release/cachestorm"


def free_port():
    """A port nobody listens on, below those the system gives to outgoing connections."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def close_at_once(connection):
    """Closes with a reset, so that the local port is free again at once: for scripts that open thousands."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Server:
    """A server started from a binary, without persistence; use as a context manager.

    `core` pins it to one processor; without `port` it gets a free one. The kernel kills it when this process dies (setpriv).
    """

    def __init__(self, binary, *flags, core=None, port=None):
        found = shutil.which(binary)
        if not found:
            raise SystemExit(f"{binary} is not an executable file")
        self.name = Path(binary).name
        self.port = port or free_port()
        self.directory = tempfile.mkdtemp(prefix=f"{self.name}.")
        command = ["setpriv", "--pdeathsig", "KILL", "--"]
        if core is not None:
            command += ["taskset", "--cpu-list", str(core)]
        command += [found, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", ""]
        self.log = Path(self.directory) / "log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*command, *flags], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=self.directory
            )
        self.pid = self.process.pid
        self._wait()

    def _wait(self):
        for _ in range(1000):
            try:
                client = self.client()
                client.call("PING")
                client.close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
        log = self.log.read_text(errors="replace")
        self.stop()
        raise SystemExit(f"{self.name} did not start:\n{log}")

    def client(self, **options):
        return Client(self.port, **options)

    def alive(self):
        return self.process.poll() is None

    def rss(self):
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def cpu_seconds(self):
        """Time all threads spent on a processor, to the nanosecond."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
