"""The data directory: the one place where Roundhouse keeps state on disk. Only its owner may read it."""

import errno
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from controlplane.env import SettingError


@dataclass(frozen=True)
class DataDir:
    """Names of what lies in a data directory. Nothing is created until `prepare`."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file, used unless DATABASE_URL is set."""
        return self.root / "db.sqlite3"

    @property
    def broker(self) -> Path:
        """The filesystem broker's queue, used unless CELERY_BROKER_URL is set."""
        return self.root / "broker"

    @property
    def logs(self) -> Path:
        """Logs of the processes that `serve` starts."""
        return self.root / "logs"

    @property
    def engine_logs(self) -> Path:
        """One folder an engine, one file an attempt; they outlive the engine and the cluster."""
        return self.root / "engine-logs"

    @property
    def models(self) -> Path:
        """Models that Roundhouse makes itself, and the default Hugging Face cache."""
        return self.root / "models"

    @property
    def spool(self) -> Path:
        """What waits for the database: one file a process of the gateway, while that is away."""
        return self.root / "spool"

    @property
    def ray(self) -> Path:
        """What is known of the local Ray head (process id, ports, token)."""
        return self.root / "ray"

    @property
    def quickstart(self) -> Path:
        """What `make run` prints, as JSON, readable by its owner only."""
        return self.root / "quickstart.json"

    @property
    def secret_key(self) -> Path:
        """The key that signs cookies and encrypts secrets, made on first use."""
        return self.root / "secret.key"

    def prepare(self) -> None:
        """Create the folders, readable by their owner only. Safe to repeat.

        Raises:
            SettingError: if they cannot be made or written to.
        """
        try:
            for folder in (self.root, self.broker, self.logs, self.engine_logs, self.models, self.ray):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.root, os.W_OK | os.X_OK) or os.statvfs(self.root).f_flag & os.ST_RDONLY:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise SettingError(
                f"ROUNDHOUSE_DATA_DIR={self.root} cannot be used ({error.strerror}): set it to a directory of yours."
            ) from None

    def read_or_make_secret_key(self) -> str:
        """Return the secret key, making it on first use; two processes that race agree on one."""
        return self._read_or_make(self.secret_key, secrets.token_urlsafe(50))

    def read_or_make_identity(self) -> str:
        """Return 16 digits that stand for this directory, wherever it lies and whatever its machine is called."""
        return self._read_or_make(self.root / "identity", secrets.token_hex(8))

    def _read_or_make(self, path: Path, fresh: str) -> str:
        """Return what is in a file, which holds the fresh text if there was none.

        It is written aside and linked into place, so that no reader ever sees half of it.
        """
        if not path.exists():
            self.prepare()
            aside = self.root / f".{path.name}.{secrets.token_hex(8)}"
            fd = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(fresh)
            try:
                path.hardlink_to(aside)
            except FileExistsError:
                pass  # another process was first; its text is the text
            finally:
                aside.unlink()
        return path.read_text().strip()
