"""Real servers of a test's own: PostgreSQL, Redis, a bucket, gunicorn, nginx.

Each lives in a temporary folder, listens on loopback at a free port, and is a process group that
the block which started it ends. Nothing else is ever signalled, and nothing waits for ever.
"""

import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psycopg
import redis

ROOT = Path(__file__).parent.parent.parent
HOST = "127.0.0.1"
DOMAIN = "banque.test"
_SECRET, _JWT_SECRET = secrets.token_urlsafe(50), secrets.token_urlsafe(50)
# Debian keeps the server's programs out of PATH, one folder a version.
_POSTGRES_BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/bin"))
_NAMES = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)


def are_installed() -> bool:
    return (_POSTGRES_BIN / "initdb").exists() and shutil.which("redis-server") is not None


def free_port() -> int:
    """Below the range of clients: one of theirs could take it while a server of ours restarts."""
    while True:
        port = random.SystemRandom().randint(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def wait_until(fact: Callable[[], Any], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


@contextmanager
def folder() -> Iterator[Path]:
    """Others may pass, not look: postgres and nginx's workers are not who runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="banque-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass
class Server(ABC):
    """A process in a group of its own; what it says goes to a file of the folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    where: Path = ROOT

    @abstractmethod
    def argv(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def identity(self) -> dict[str, Any]:
        """Who runs it, as subprocess says it."""
        return {}

    @property
    def log(self) -> Path:
        return self.folder / f"{type(self).__name__.lower()}.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv(),
                cwd=self.where,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.identity(),
            )
        try:
            wait_until(self._is_up, f"{self.argv()[0]} answers", 60)
        except BaseException as failure:
            failure.add_note(self.tail())
            self.kill()
            raise

    def _is_up(self) -> bool:
        assert self.is_running, f"{self.argv()[0]} ended by itself"
        return self.is_ready()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send(self, how: int) -> None:
        os.kill(self.pid, how)

    def stop(self, how: int = signal.SIGTERM, within: float = 40) -> None:
        """Ask it to end and see it end; what is left of its group is killed."""
        if not self.is_running:
            return
        self.send(signal.SIGCONT)
        self.send(how)
        try:
            self.process.wait(within)  # type: ignore[union-attr]
        finally:
            self.kill()

    def kill(self) -> None:
        """The whole group, without a word."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(10)  # type: ignore[union-attr]

    def tail(self, lines: int = 40) -> str:
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join([f"--- {self.log}", *text.splitlines()[-lines:]])


S = TypeVar("S", bound=Server)
T = TypeVar("T")


@contextmanager
def running(server: S) -> Iterator[S]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


# --- PostgreSQL --------------------------------------------------------------------------


@dataclass
class Postgres(Server):
    password: str = field(default_factory=lambda: secrets.token_hex(24))

    @property
    def data(self) -> Path:
        return self.folder / "postgresql"

    def identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid():
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": []}

    def initialize(self) -> None:
        assert os.stat("/dev/null").st_mode & 0o666 == 0o666, "/dev/null is not writable by all"
        secret = self.folder / "postgresql.secret"
        secret.write_text(self.password)
        self.data.mkdir(mode=0o700)
        if self.identity():
            shutil.chown(secret, "postgres")
            shutil.chown(self.data, "postgres")
        done = subprocess.run(
            [
                *(_POSTGRES_BIN / "initdb", f"--pgdata={self.data}", "--username=postgres"),
                *("--auth=scram-sha-256", f"--pwfile={secret}"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            **self.identity(),
        )
        assert done.returncode == 0, done.stderr
        secret.unlink()

    def argv(self) -> list[str]:
        # fsync stays on: it is what an acknowledged write stands on.
        options = [f"-clisten_addresses={HOST}", "-cunix_socket_directories="]
        return [str(_POSTGRES_BIN / "postgres"), f"-D{self.data}", f"-p{self.port}", *options]

    def is_ready(self) -> bool:
        try:
            with self.connect("postgres") as connection:
                row = connection.execute("show data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        assert row == (str(self.data),), f"{row} is not ours"
        return True

    def connect(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user="postgres",
            password=self.password,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def create_database(self, name: str, *, template: str = "template1") -> None:
        with self.connect("postgres") as connection:
            role = "select 1 from pg_roles where rolname = 'banque'"
            if not connection.execute(role).fetchone():
                connection.execute(f"create role banque login password '{self.password}'")
            # A copy by WAL gives its sequences values that no WAL knows: they repeat after a crash.
            connection.execute(
                f'create database "{name}" owner banque template "{template}" strategy file_copy'
            )

    def drop_database(self, name: str) -> None:
        with self.connect("postgres") as connection:
            connection.execute(f'drop database "{name}" with (force)')

    def stop(self, how: int = signal.SIGINT, within: float = 40) -> None:
        """SIGINT ends its sessions; SIGTERM would wait for them."""
        super().stop(how, within)

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: nothing more is flushed."""
        self.stop(signal.SIGQUIT)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder)
    server.initialize()
    with running(server):
        yield server


# --- Redis -------------------------------------------------------------------------------


class Redis(Server):
    def argv(self) -> list[str]:
        options = {"port": self.port, "bind": HOST, "dir": self.folder, "save": ""}
        pairs = ((f"--{name}", str(value)) for name, value in options.items())
        return ["redis-server", *(word for pair in pairs for word in pair)]

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def client(self) -> "redis.Redis":
        return redis.Redis(HOST, self.port, socket_timeout=5, decode_responses=True)

    def is_ready(self) -> bool:
        try:
            with self.client as client:
                directory = client.config_get("dir")["dir"]
        except redis.ConnectionError:
            return False
        assert directory == str(self.folder), f"{directory} is not ours"
        return True

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def flush(self) -> None:
        with self.client as client:
            client.flushall()


# --- A bucket ----------------------------------------------------------------------------


class S3(Server):
    """moto, which keeps its objects in memory: gone once it ends."""

    BUCKET = "banque"

    def argv(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(self.port)]

    def is_ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True

    def start(self) -> None:
        super().start()
        self.bucket.create()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def bucket(self) -> Any:
        keys = {"aws_access_key_id": "qui", "aws_secret_access_key": "secret"}
        s3 = boto3.resource("s3", endpoint_url=self.url, region_name="us-east-1", **keys)
        return s3.Bucket(self.BUCKET)

    @property
    def variables(self) -> dict[str, str]:
        """What names it to a bank."""
        return {
            "S3_BUCKET": self.BUCKET,
            "S3_ENDPOINT_URL": self.url,
            "S3_ACCESS_KEY_ID": "qui",
            "S3_SECRET_ACCESS_KEY": "secret",
        }


# --- The bank: a database, a cache, folders, and the settings that name them -------------


@dataclass
class Bank:
    """What `manage.py` and gunicorn are run with; `variables` win over every default."""

    folder: Path
    variables: dict[str, str]
    postgres: Postgres | None = None
    redis: Redis | None = None

    def __post_init__(self) -> None:
        for name in ("media", "ml_models", "static"):
            (self.folder / name).mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Every name of .env.example, were it empty: a .env beside us counts for nothing."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {
            "SECRET_KEY": _SECRET,
            "JWT_SECRET_KEY": _JWT_SECRET,
            "ALLOWED_HOSTS": f"{DOMAIN},{HOST}",
            "MEDIA_ROOT": str(self.folder / "media"),
            "ML_MODELS_DIR": str(self.folder / "ml_models"),
            "ENTRAINEMENTS_DIR": str(self.folder / "entrainements"),
            "STATIC_ROOT": str(self.folder / "static"),
            "TMPDIR": str(self.folder),
            # A test is one account that does what a thousand would.
            **dict.fromkeys(("THROTTLE_ANON", "THROTTLE_USER", "THROTTLE_ECRITURE"), "1000000/min"),
        }
        return kept | dict.fromkeys(_NAMES, "") | ours | self.variables

    def manage(self, *argv: str, timeout: float = 120, **variables: str) -> str:
        """What `manage.py` printed; fails where it did."""
        done = subprocess.run(
            [sys.executable, "manage.py", *argv],
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, code: str, *, timeout: float = 120) -> str:
        return self.manage("shell", "--no-imports", "--command", code, timeout=timeout)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, past the application; no row for what has none."""
        if self.postgres is None:
            place = self.variables["SQLITE_PATH"]
            with closing(sqlite3.connect(place, 20, isolation_level=None)) as connection:
                return connection.execute(query).fetchall()
        with self.postgres.connect(self.variables["DB_NAME"]) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def production(
    folder: Path, postgres: Postgres, redis: Redis, *, template: str = "template1", **variables: str
) -> Iterator[Bank]:
    """With a database of its own, a copy of the template: empty, where none is named."""
    name = f"banque_{secrets.token_hex(4)}"
    services = {
        "DEBUG": "False",
        "DB_HOST": HOST,
        "DB_PORT": str(postgres.port),
        "DB_NAME": name,
        "DB_USER": "banque",
        "DB_PASSWORD": postgres.password,
        "REDIS_URL": redis.url,
        "NUM_PROXIES": "1",
        "ACCEL_PREFIXE": "/fichiers-internes/",
    }
    bank = Bank(folder, services | variables, postgres, redis)
    postgres.create_database(name, template=template)
    try:
        yield bank
    finally:
        postgres.drop_database(name)


def embedded(folder: Path, **variables: str) -> Bank:
    """SQLite and local memory, as a developer has them; migrated."""
    here = {"DEBUG": "True", "SQLITE_PATH": str(folder / "db.sqlite3")}
    bank = Bank(folder, here | variables)
    bank.manage("migrate", "--verbosity=0")
    return bank


# --- gunicorn and nginx ------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """One connection a call: a call either has its answer or raises."""

    port: int
    token: str = ""
    timeout: float = 30
    tls: ssl.SSLContext | None = None

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {"Host": DOMAIN, "X-Forwarded-Proto": "https"}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(self.connection()) as connection:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(HOST, self.port, timeout=self.timeout)
        return http.client.HTTPSConnection(HOST, self.port, timeout=self.timeout, context=self.tls)

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, {} if body is None else body, **headers)

    def signed_in(self, username: str, password: str) -> "Client":
        answer = self.post("/api/token/", {"username": username, "password": password})
        assert answer.status == 200, answer.body
        return self.with_token(answer.json["access"])

    def with_token(self, token: str) -> "Client":
        return replace(self, token=token)


@dataclass
class Gunicorn(Server):
    """As production starts it: gunicorn.conf.py is found, the address is on the command line."""

    bank: Bank = field(kw_only=True)

    def argv(self) -> list[str]:
        name = [sys.executable, "-m", "gunicorn", "config.wsgi:application"]
        return [*name, "--bind", f"{HOST}:{self.port}"]

    def environment(self) -> dict[str, str]:
        return self.bank.environment

    def is_ready(self) -> bool:
        """Every worker is, its model loaded."""
        wanted = int(self.bank.variables.get("WEB_PROCESSUS", 2))
        said, workers = self.log.read_text("utf-8"), self.workers
        return len(workers) == wanted and all(f"Processus {pid} prêt" in said for pid in workers)

    @property
    def client(self) -> Client:
        return Client(self.port)

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    @contextmanager
    def answering_alone(self, worker: int) -> Iterator[Client]:
        """The other workers stand still meanwhile, so that this one takes every connection."""
        others = [pid for pid in self.workers if pid != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield self.client
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)


# What differs between deploy/nginx.conf and a test: addresses and folders, nothing that decides.
_NGINX = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/banque.conf;
}}
"""


@dataclass
class _AnyNginx(Server):
    web: Gunicorn = field(kw_only=True)

    def configure(self, text: str) -> None:
        (self.folder / "banque.conf").write_text(text)
        # Like PostgreSQL, its workers are not root; who is not root cannot choose.
        user = "" if os.geteuid() else "user www-data;"
        self.configuration.write_text(_NGINX.format(folder=self.folder, user=user))

    @property
    def configuration(self) -> Path:
        return self.folder / "nginx.conf"

    def argv(self) -> list[str]:
        return ["nginx", "-c", str(self.configuration)]

    def is_ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True


_SHARED_PROXY = """
proxy_cache_path {folder}/cache keys_zone=partage:1m;
server {{
    listen {host}:{port};
    location / {{
        proxy_pass http://{host}:{web};
        proxy_set_header Host $host;
        proxy_cache partage;
        add_header X-Cache $upstream_cache_status always;
    }}
}}
"""


@dataclass
class SharedProxy(_AnyNginx):
    """A cache on the way, of a campus say, that knows of the bank only what its headers say."""

    def __post_init__(self) -> None:
        places = {"folder": self.folder, "host": HOST, "port": self.port, "web": self.web.port}
        self.configure(_SHARED_PROXY.format_map(places))

    @property
    def client(self) -> Client:
        return Client(self.port)


@dataclass
class Nginx(_AnyNginx):
    """deploy/nginx.conf in front of a gunicorn: TLS on `port`, plain HTTP on `plain_port`."""

    plain_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._make_certificate()
        places = {
            "listen 80;": f"listen {HOST}:{self.plain_port};",
            "listen 443 ssl http2;": f"listen {HOST}:{self.port} ssl http2;",
            "listen [::]:80;": "",
            "listen [::]:443 ssl http2;": "",
            "server 127.0.0.1:8000;": f"server {HOST}:{self.web.port};",
            "votre-domaine.com": DOMAIN,
            "/etc/ssl/banque/": f"{self.folder}/",
            "/var/log/nginx/": f"{self.folder}/",
            "/srv/banque/media/": f"{self.web.bank.folder}/media/",
        }
        text = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        for here, there in places.items():
            assert here in text, here
            text = text.replace(here, there)
        self.configure(text)

    def _make_certificate(self) -> None:
        names = f"subjectAltName=DNS:{DOMAIN},IP:{HOST}"
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ),
                *("-nodes", "-days", "2", "-subj", f"/CN={DOMAIN}", "-addext", names),
                *("-keyout", self.folder / "cle.pem", "-out", self.folder / "certificat.pem"),
            ],
            check=True,
            capture_output=True,
            timeout=30,
        )

    @property
    def client(self) -> Client:
        trusting = ssl.create_default_context(cafile=self.folder / "certificat.pem")
        return Client(self.port, tls=trusting)

    def logged(self, answer: Answer) -> dict[str, Any]:
        """The line of the access log about this answer: it is written once the answer left."""

        def found() -> bool:
            lines.extend(json.loads(line) for line in log.read_text("utf-8").splitlines())
            return any(line["request_id"] == wanted for line in lines)

        lines: list[dict[str, Any]] = []
        log, wanted = self.folder / "banque.log", answer.headers["X-Request-ID"]
        wait_until(found, f"a line of {log} about {wanted}", 5)
        return next(line for line in lines if line["request_id"] == wanted)


# --- Load --------------------------------------------------------------------------------


@contextmanager
def under_load(calls: Iterable[Callable[[], T]]) -> Iterator[list[T]]:
    """Repeat each call in a thread of its own during the block; all that they returned."""
    done: list[T] = []
    over = threading.Event()

    def repeat(call: Callable[[], T]) -> None:
        while not over.is_set():
            done.append(call())

    calls = list(calls)
    with ThreadPoolExecutor(len(calls)) as pool:
        threads = [pool.submit(repeat, call) for call in calls]
        try:
            yield done
        finally:
            over.set()
    for thread in threads:
        thread.result()
