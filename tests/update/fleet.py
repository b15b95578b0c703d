"""A repository with its keys, on a disk or on a file system that crashes, and what boards see of it."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgeagent.host.disk import DiskFiles
from edgeagent.seal.keys import SigningKey
from edgeagent.update import client
from edgeagent.update.client import Places
from edgeagent.update.repository import Repository
from edgeagent.update.roles import ONLINE, ROOT, TOP
from edgeagent.update.tuf_keys import TufSigner

NAMES = ("root-1", "root-2", "root-3", "targets", "snapshot", "timestamp", "heating", "spare")
KEYS = {name: TufSigner(SigningKey.from_seed(bytes([number]) * 32)) for number, name in enumerate(NAMES)}
TARGET = "heating/home.suit"


def now(days=0):
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


@dataclasses.dataclass
class Fleet:
    repository: Repository

    @classmethod
    def at(cls, folder, files=None, days=0):
        """Version 1 with a team and one target, published."""
        fleet = cls(Repository(files or DiskFiles(), folder))
        keys = {role: [KEYS[one].public_key for one in NAMES[:6] if one.startswith(role)] for role in TOP}
        fleet.repository.init(keys, {role: 2 if role == ROOT else 1 for role in TOP}, now(days))
        fleet.sign("root-1", "root-2", "targets")
        fleet.publish(days)
        fleet.repository.delegate("heating", [KEYS["heating"].public_key], 1, ["heating/*"], now(days))
        fleet.add(b"first", days)
        fleet.sign("heating", "targets")
        fleet.publish(days)
        return fleet

    def add(self, data, days=0, path=TARGET):
        self.repository.add("heating", path, data, {}, now(days))

    def sign(self, *names):
        for name in names:
            self.repository.sign(KEYS[name])

    def publish(self, days=0, online=ONLINE):
        return self.repository.publish([KEYS[name] for name in online], now(days))

    def change(self, data, days=0):
        self.add(data, days)
        self.sign("heating")
        self.publish(days)


class Board:
    """A client that began with the first root."""

    def __init__(self, folder: Path, repository: Path, url=""):
        base = url or str(repository)
        self.places = Places(folder / "trusted", f"{base}/metadata", folder / "targets", f"{base}/targets")
        client.trust((repository / "metadata" / "1.root.json").read_bytes(), self.places.metadata)

    def download(self, fetcher=None, name=TARGET):
        return client.download(self.places, name, fetcher).read_bytes()

    @property
    def trusted(self):
        """What it holds for true, by file name."""
        return {
            path.name: path.read_bytes()
            for path in self.places.metadata.iterdir()
            if path.is_file() and path.name != "root.json"
        }
