"""Where the program keeps its files, and where its own profiles and assets lie."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import StorageFull, UserError, WorldError

HOME_VARIABLE = "WORKBENCH_HOME"
APPLICATION = "inference-workbench"
# EDQUOT: the quota of this user; Windows has no such code.
DISK_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


@dataclass(frozen=True, slots=True)
class Paths:
    """The three folders of the program. Nothing is made before `create`."""

    data: Path
    cache: Path
    logs: Path

    @classmethod
    def standard(cls) -> Paths:
        """Folders of this user, or those below $WORKBENCH_HOME when it is set."""
        home = os.environ.get(HOME_VARIABLE)
        if home:
            return cls.below(Path(home))
        import platformdirs  # 40 ms, and not needed where the variable is set

        return cls(
            data=platformdirs.user_data_path(APPLICATION, appauthor=False),
            cache=platformdirs.user_cache_path(APPLICATION, appauthor=False),
            logs=platformdirs.user_log_path(APPLICATION, appauthor=False),
        )

    @classmethod
    def below(cls, home: Path) -> Paths:
        """All folders inside one."""
        home = home.expanduser().absolute()
        return cls(data=home / "data", cache=home / "cache", logs=home / "logs")

    @property
    def history_file(self) -> Path:
        return self.data / "history.sqlite3"

    @property
    def settings_file(self) -> Path:
        return self.data / "settings.json"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def user_profiles(self) -> Path:
        return self.data / "profiles"

    @property
    def derived_models(self) -> Path:
        """Quantizations made on this machine; they can be made again, so they are cache."""
        return self.cache / "models"

    @property
    def downloads_file(self) -> Path:
        """Which downloads were asked for and are not over."""
        return self.data / "downloads.json"

    @property
    def memory_plans(self) -> Path:
        """Headers of models that are not here yet, and what llama.cpp planned for them."""
        return self.cache / "plans"

    def create(self) -> Paths:
        """Makes the folders and tries to write into each; returns self. Raises UserError, StorageFull."""
        import tempfile  # 5 ms, and not needed by who only asks for a path

        for folder in (self.data, self.cache, self.logs, self.models, self.user_profiles, self.derived_models):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise _folder_error(folder, error) from error
        return self


@dataclass(frozen=True, slots=True)
class Resources:
    """Folders that come with the program; read-only."""

    profiles: Path
    assets: Path

    @property
    def glossary(self) -> Path:
        return self.assets / "glossary.toml"


def resources() -> Resources:
    """The profiles and assets of this installation: frozen bundle, installed wheel or checkout.

    Raises WorldError (code "installation_incomplete") when they are nowhere.
    """
    roots = _resource_roots()
    for root in roots:
        found = Resources(root / "profiles", root / "assets")
        if found.profiles.is_dir() and found.assets.is_dir():
            return found
    looked = ", ".join(str(root) for root in roots)
    raise WorldError(
        "The program's own profiles and assets are missing. Install inference-workbench again.",
        code="installation_incomplete",
        detail=f"looked in: {looked}",
    )


def _resource_roots() -> list[Path]:
    package = Path(__file__).resolve().parent
    roots = [package / "_resources"]
    bundle = getattr(sys, "_MEIPASS", None)  # set by PyInstaller
    if bundle is not None:
        roots = [Path(bundle), Path(bundle) / "workbench" / "_resources", *roots]
    # Folders beside the package are ours only in a checkout: in site-packages they would be a stranger's.
    if (package.parent / "pyproject.toml").is_file():
        roots.append(package.parent)
    return roots


def write_atomically(path: Path, content: str) -> None:
    """Replaces `path` by UTF-8 `content`: after a crash or power loss it is the old file or the new one.

    Raises OSError; the temporary file is gone then.
    """
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def free_name(path: Path, suffix: str) -> Path:
    """`path` with `suffix` and the first number that is not taken: settings.json.broken-1."""
    number = 1
    while (candidate := path.with_name(f"{path.name}.{suffix}-{number}")).exists():
        number += 1
    return candidate


def _folder_error(folder: Path, error: OSError) -> UserError | StorageFull:
    if error.errno in DISK_FULL:
        return StorageFull(f"The disk of {folder} is full. Free some space and start again.")
    return UserError(
        f"The folder {folder} cannot be written: {error.strerror or error}. "
        f"Change its permissions, or set {HOME_VARIABLE} to a folder of your own.",
        code="folder_not_writable",
    )
