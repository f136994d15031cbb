"""The embedded store: ArcadeDB as a child process that speaks Bolt, needing nothing but pip.

Three processes: the program, a small guard (``kg/guard.py``) and the Java process. The guard ends the Java
process when the pipe from the program closes, so that no way of ending the program leaves a server behind; if the
guard itself is killed, Linux ends the Java process with it, and elsewhere the next start does.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from neo4j import GraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from errors import InputError
from files import write_json
from kg.config import StoreConfig
from kg.guard import GRACE, Guarded

HOST = "127.0.0.1"
USERNAME = "root"
READER = "reader"
DATABASE = "neo4j"
ATTEMPTS = 3
LOG_LINES = 15
LEAST_ROOM = 64 * 1024  # one page of the store
NO_ROOM = ("No space left on device", "Disk quota exceeded", "not enough space on the disk")
JAVA_OPTIONS = (
    "--add-modules=jdk.incubator.vector",
    "--enable-native-access=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "-XX:+UseSerialGC",
    # A run's store lives for a minute or so: the second compiler costs more of it than it gives back.
    "-XX:TieredStopAtLevel=1",
)


class EmbeddedServer:
    """A running embedded store, held by this process alone.

    Args:
        config: home folder, heap and start timeout are used.

    Attributes:
        uri: its Bolt address, on the loopback interface.
        http: the address of its HTTP interface, likewise.
        username: account to connect as.
        password: its password, random, kept in ``home/password`` (readable by the owner only).

    Raises:
        InputError: another process holds the home folder, the Java runtime is not installed, or the store does
            not start (with the last lines of its log).
    """

    def __init__(self, config: StoreConfig) -> None:
        self.config, self.home = config, config.home.absolute()
        self.username, self.uri, self.http, self.password = USERNAME, "", "", ""
        self._reader: tuple[str, str] | None = None
        self._owner = os.getpid()
        self._guard: Guarded | None = None
        self._lock = _lock(self.home)
        try:
            _end_stale(self.home)
            self.password = _password(self.home)
            _write_groups(self.home)
            self._start()
        except OSError as error:
            self.stop()
            raise _unusable(self.home, error) from None
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._guard is not None and self._guard.alive

    @property
    def pid(self) -> int:
        """Number of the Java process.

        Raises:
            InputError: it has ended.
        """
        found = _recorded(self.home)
        if found is None:
            raise self.failure("The embedded graph store has ended")
        return found.pid

    @property
    def reader(self) -> tuple[str, str]:
        """Name and password of an account that can read records and nothing else, made when first asked for."""
        if self._reader is None:
            account = {"name": READER, "password": secrets.token_urlsafe(24), "databases": {DATABASE: [READER]}}
            with contextlib.suppress(urllib.error.HTTPError):
                self.command(f"drop user {READER}")  # an earlier run's
            self.command(f"create user {json.dumps(account)}")
            self._reader = (READER, str(account["password"]))
        return self._reader

    def command(self, text: str) -> None:
        """Send a server command to the HTTP interface.

        Raises:
            urllib.error.HTTPError: the server refuses it.
        """
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
        body = json.dumps({"command": text}).encode()
        request = urllib.request.Request(f"{self.http}/api/v1/server", body, headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(request, timeout=self.config.start_timeout).close()

    def restart(self) -> None:
        """Kill the server and start it anew at the same address; connections break and are made again."""
        with contextlib.suppress(InputError, psutil.NoSuchProcess):
            psutil.Process(self.pid).kill()
        self._end_guard()
        self._launch(*(int(address.rpartition(":")[2]) for address in (self.uri, self.http)))
        if not self._answers(time.monotonic() + self.config.start_timeout):
            raise self.failure("The embedded graph store did not start again")

    def stop(self) -> None:
        """End the server and release the home folder; harmless when repeated or in a forked child."""
        if os.getpid() != self._owner:
            return
        self._end_guard()
        (self.home / "holder.json").unlink(missing_ok=True)
        self._lock.release()
        atexit.unregister(self.stop)

    @property
    def disk_full(self) -> bool:
        """Whether the store could not write for want of room."""
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.home).free < LEAST_ROOM:
                return True
        return any(sign in line for line in _log_tail(self.home, 500) for sign in NO_ROOM)

    def failure(self, what: str) -> InputError:
        """Describe a fault of the server: that its disk is full, or with the last lines of its log."""
        if self.disk_full:
            return InputError(
                f"{what}: its disk is full",
                where=str(self.home),
                remedy="Make room, or give a folder (home) on another disk, and run the same command again; what was "
                "written before is kept.",
            )
        lines = [line for line in _log_tail(self.home, 200) if not line.startswith("\tat ")][-LOG_LINES:]
        return InputError(
            f"{what}\n    " + "\n    ".join(lines),
            where=str(self.home),
            remedy=f"The whole log is {self.home / 'server.log'}. Run again; if it fails again, delete the folder "
            "(the graph is rebuilt from the data), or set NEO4J_URI to use a Neo4j of your own.",
        )

    def _start(self) -> None:
        deadline = time.monotonic() + self.config.start_timeout
        for _ in range(ATTEMPTS):
            self._launch(*free_ports(2))
            if self._answers(deadline):
                return
            self._end_guard()
            if "Address already in use" not in "\n".join(_log_tail(self.home, 200)):
                break
        raise self.failure(f"The embedded graph store did not start (start_timeout: {self.config.start_timeout:g} s)")

    def _launch(self, bolt: int, http: int) -> None:
        self.uri, self.http = f"bolt://{HOST}:{bolt}", f"http://{HOST}:{http}"
        log = self.home / "server.log"
        if log.exists():
            log.replace(self.home / "server.previous.log")
        command = _command(self.home, self.config.heap, bolt, http)
        self._guard = Guarded(command, cwd=self.home, log=log, record=self.home / "server.json")

    def _answers(self, deadline: float) -> bool:
        """Wait until the store answers a query; Bolt opens before the database exists."""
        while time.monotonic() < deadline and self.alive and not _gave_up(self.home):
            if self._probe():
                return True
            time.sleep(0.1)
        return False

    def _probe(self) -> bool:
        port = int(self.uri.rpartition(":")[2])
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            # One try each: the driver's own retries would hide for half a minute that the server gave up.
            with (
                GraphDatabase.driver(
                    self.uri, auth=(self.username, self.password), connection_timeout=2, max_transaction_retry_time=0
                ) as driver,
                driver.session(database=DATABASE) as session,
            ):
                session.run("RETURN 1").consume()
        except (OSError, DriverError, Neo4jError):
            return False
        return True

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.end()
            self._guard = None


def _lock(home: Path) -> FileLock:
    """Take the home folder for this process."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "log").mkdir(exist_ok=True)
        lock = FileLock(home / "lock")
        lock.acquire(timeout=0)
        (home / "holder.json").write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}))
    except Timeout:
        raise InputError(
            f"the embedded graph store is in use by {_holder(home)}",
            where=str(home),
            remedy="Wait until that ends, or give this run another folder (home), or set NEO4J_URI to a Neo4j.",
        ) from None
    except OSError as error:
        raise _unusable(home, error) from None
    return lock


def _unusable(home: Path, error: OSError) -> InputError:
    return InputError(
        f"the folder of the embedded graph store cannot be used: {error.strerror}",
        where=str(home),
        remedy="Give a folder (home) that you may write to, on a disk with room.",
    )


def _holder(home: Path) -> str:
    try:
        held = json.loads((home / "holder.json").read_text())
        return f"process {held['pid']} ({held['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"


def _recorded(home: Path) -> psutil.Process | None:
    """The running Java process that works on this home folder, if any."""
    try:
        process = psutil.Process(int(json.loads((home / "server.json").read_text())["pid"]))
        return process if f"-Darcadedb.server.rootPath={home}" in process.cmdline() else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def _end_stale(home: Path) -> None:
    """End a server whose program is dead: its guard does so within a moment, if it lives."""
    stale = _recorded(home)
    if stale is None:
        return
    try:
        stale.wait(GRACE / 2)
    except psutil.TimeoutExpired:
        stale.kill()
        stale.wait(GRACE)
    except psutil.NoSuchProcess:
        return


def _password(home: Path) -> str:
    """The store's password; a new one, and new accounts with it, when there is none."""
    path = home / "password"
    if not path.exists():
        shutil.rmtree(home / "config", ignore_errors=True)
        draft = home / "password.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        draft.replace(path)
    return path.read_text()


def _write_groups(home: Path) -> None:
    """Say what groups of accounts may do: administrators everything, readers nothing but read records."""
    records = [f"{verb}Record" for verb in ("create", "read", "update", "delete")]
    database = ["updateSecurity", "updateSchema", "updateDatabaseSettings"]
    groups = {"admin": _group(database, records), READER: _group([], ["readRecord"]), "*": _group([], [])}
    (home / "config").mkdir(exist_ok=True)
    write_json(home / "config" / "server-groups.json", {"databases": {"*": {"groups": groups}}, "version": 2})


def _group(database: list[str], records: list[str]) -> dict[str, object]:
    return {"resultSetLimit": -1, "readTimeout": -1, "access": database, "types": {"*": {"access": records}}}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _command(home: Path, heap: str, bolt: int, http: int) -> list[str]:
    spec = importlib.util.find_spec("arcadedb_embedded")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the embedded graph store is not installed",
            remedy="pip install arcadedb-embedded, or set NEO4J_URI to use a Neo4j of your own.",
        )
    package = Path(spec.submodule_search_locations[0])
    java = package / "jre" / "bin" / ("java.exe" if os.name == "nt" else "java")
    settings = {
        "server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "bolt.host": HOST,
        "bolt.port": bolt,
        "bolt.defaultDatabase": DATABASE,
        "server.defaultDatabases": f"{DATABASE}[]",
        "server.rootPath": home,
        "server.rootPasswordPath": home / "password",
        "server.httpIncomingHost": HOST,
        "server.httpIncomingPort": http,
        "server.mode": "development",  # in production mode error messages are hidden
        "opencypher.loadCsv.allowFileUrls": "false",
        "opencypher.loadCsv.allowRemoteUrls": "false",
    }
    options = [f"-Darcadedb.{name}={value}" for name, value in settings.items()]
    main = ["-cp", str(package / "jars" / "*"), "com.arcadedb.server.ArcadeDBServer"]
    return [str(java), f"-Xmx{heap}", *JAVA_OPTIONS, *options, *main]


def _gave_up(home: Path) -> bool:
    """Whether the server met a fatal error: its process then often stays, without a database."""
    return any(line.find('Exception in thread "main"') >= 0 for line in _log_tail(home, 200))


def _log_tail(home: Path, count: int) -> list[str]:
    try:
        return (home / "server.log").read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
