"""A real Neo4j for the tests: jars from Maven Central, a temporary home, a free port, a random password.

It needs Java 17 or 21 and Maven. The jars (about 116 MB) are kept in the folder that ``CROSSAISLE_NEO4J_JARS`` names;
default ``~/.cache/crossaisle/neo4j-VERSION``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from filelock import FileLock

from errors import InputError
from kg.config import StoreConfig
from kg.embedded import HOST, free_ports
from kg.guard import Guarded
from kg.store import GraphStore

VERSION = "5.26.18"
ARTIFACTS = (("org.neo4j", "neo4j"), ("org.neo4j.app", "neo4j-server"))
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAVAS = (17, 21)
OPENED = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
USERNAME = "neo4j"
START_TIMEOUT = 120.0


class MissingToolError(Exception):
    """This machine cannot run a Neo4j; the message says what it lacks."""


class Neo4jServer:
    """A Neo4j in a home folder of its own; the guard of the embedded store ends it with the tests.

    Args:
        home: an empty folder.
        heap: the largest Java heap.

    Raises:
        MissingToolError: there is no usable Java or Maven, or the jars cannot be fetched.
        RuntimeError: it does not start; with the end of its log.
    """

    def __init__(self, home: Path, heap: str = "512m") -> None:
        self.home, self.heap, self.password = home, heap, secrets.token_hex(12)  # a first dash would make it an option
        self._java, self._jars = _java(), _fetched_jars()
        self._guarded: Guarded | None = None
        (self.port,) = free_ports(1)
        self.uri = f"bolt://{HOST}:{self.port}"
        for name in ("conf", "logs", "data", "run", "plugins", "import"):
            (home / name).mkdir(parents=True)
        (home / "conf" / "neo4j.conf").write_text(_settings(self.port))
        self._set_password()
        self.start()

    @property
    def config(self) -> StoreConfig:
        """How to open a store on it."""
        client = self.home / "client"
        return StoreConfig(uri=self.uri, username=USERNAME, password=self.password, home=client, retry_time=5)

    @property
    def pid(self) -> int:
        """Number of the Java process."""
        return int(json.loads(self._record.read_text())["pid"])

    @property
    def log(self) -> str:
        """What the server has printed."""
        path = self.home / "logs" / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, also again after it was stopped or killed; returns when it answers."""
        self.stop()
        command = self._command("org.neo4j.server.CommunityEntryPoint")
        command += [f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}", "--console-mode"]
        log = self.home / "logs" / "console.log"
        self._guarded = Guarded(command, cwd=self.home, log=log, record=self._record)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline or not self._guarded.alive:
                self.stop()
                raise RuntimeError(f"Neo4j {VERSION} did not start:\n{self.log[-4000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it, as its own way to stop takes ten seconds; harmless when repeated."""
        if self._guarded is not None:
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                psutil.Process(self.pid).kill()
            self._guarded.end()
            self._guarded = None

    @property
    def _record(self) -> Path:
        return self.home / "server.json"

    def _command(self, main: str) -> list[str]:
        opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
        return [
            self._java,
            f"-Xmx{self.heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *opened,
            "-cp",
            str(self._jars / "*"),
            main,
        ]

    def _set_password(self) -> None:
        command = [*self._command("org.neo4j.cli.AdminTool"), "dbms", "set-initial-password", self.password]
        conf = {"NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}
        _run(command, "set the password", {**os.environ, **conf})

    def _answers(self) -> bool:
        try:
            GraphStore.open(self.config).close()
        except InputError:
            return False
        return True


def _settings(port: int) -> str:
    lines = {
        "server.default_listen_address": HOST,
        "server.bolt.listen_address": f"{HOST}:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "server.memory.pagecache.size": "128m",
        "db.tx_log.preallocate": "false",
        "dbms.usage_report.enabled": "false",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _java() -> str:
    """A Java that Neo4j 5.26 supports: ``JAVA_HOME``'s, or the one on the path."""
    home = os.environ.get("JAVA_HOME", "")
    java = shutil.which(Path(home, "bin", "java")) if home else shutil.which("java")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""
    found = re.search(r'version "(\d+)', told)
    if java is None or found is None or int(found[1]) not in JAVAS:
        raise MissingToolError(
            f"Neo4j {VERSION} needs Java {' or '.join(map(str, JAVAS))}; found {told.strip() or 'none'}"
        )
    return java


def _fetched_jars() -> Path:
    """The folder of Neo4j's jars, filled by Maven when it is not there."""
    default = Path.home() / ".cache" / "crossaisle" / f"neo4j-{VERSION}"
    folder = Path(os.environ.get("CROSSAISLE_NEO4J_JARS", default)).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not folder.exists():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    if shutil.which("mvn") is None:
        raise MissingToolError(f"the jars of Neo4j {VERSION} are fetched by Maven (mvn), which is not installed")
    with tempfile.TemporaryDirectory(prefix=".neo4j-", dir=folder.parent) as draft:
        pom, jars = Path(draft, "pom.xml"), Path(draft, "jars")
        pom.write_text(_pom())
        options = [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        _run(["mvn", "-B", "-q", "-C", "-f", str(pom), COPY, *options], "fetch the jars of Neo4j")
        jars.replace(folder)


def _pom() -> str:
    wanted = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{VERSION}</version></dependency>"
        for group, name in ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>crossaisle</groupId><artifactId>tests</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>\n"
    )


def _run(command: list[str], what: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise MissingToolError(f"could not {what}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
