"""The errors of the workbench, split by blame.

    WorkbenchError
    ├── UserError            what was asked for cannot be done; the sentence says what to do
    │   ├── SpecError            a value of a run specification is out of range
    │   ├── ProfileError         a profile file is wrong; names file and key
    │   ├── SettingsError        a settings file is wrong or newer than this program
    │   └── ModelNotFound        no such model, path or quantization
    ├── WorldError           the world outside failed; trying again may help
    │   ├── ModelFileError       not a GGUF, truncated, unsupported architecture
    │   ├── OutOfMemory          predicted before the load, or the kernel killed the child
    │   ├── EngineCrashed        the child died: assertion, signal, exit code
    │   ├── EngineStartFailed    the child did not come up
    │   ├── PromptTooLong        prompt does not fit the context; carries the numbers
    │   ├── HubError             the Hub answered with an error, or did not answer
    │   │   ├── HubOffline           no network, or told to stay offline
    │   │   ├── HubAccessDenied      gated or private; carries the page to visit
    │   │   └── DownloadBroken       what arrived is not what the Hub promised; nothing of it is kept
    │   ├── HistoryError         the history database cannot be used
    │   └── StorageFull          a write found no space
    └── Bug                  our fault: an invariant did not hold

Every error has a stable `code` for machines, a sentence for people, and an optional `detail`
(the last lines of llama.cpp's log, for example). Nothing decides on the text of a sentence.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """Base of all errors that carry a sentence for the person at the screen."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, detail: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class UserError(WorkbenchError):
    code = "user_error"


class SpecError(UserError):
    code = "spec_invalid"


class ProfileError(UserError):
    code = "profile_invalid"


class SettingsError(UserError):
    code = "settings_invalid"


class ModelNotFound(UserError):
    code = "model_not_found"


class WorldError(WorkbenchError):
    code = "world_error"


class ModelFileError(WorldError):
    code = "model_file_invalid"


class OutOfMemory(WorldError):
    code = "out_of_memory"


class EngineCrashed(WorldError):
    code = "engine_crashed"


class EngineStartFailed(WorldError):
    code = "engine_start_failed"


class PromptTooLong(WorldError):
    code = "prompt_too_long"


class HubError(WorldError):
    code = "hub_error"


class HubOffline(HubError):
    code = "hub_offline"


class HubAccessDenied(HubError):
    code = "hub_access_denied"


class DownloadBroken(HubError):
    code = "download_broken"


class HistoryError(WorldError):
    code = "history_unusable"


class StorageFull(WorldError):
    code = "storage_full"


class Bug(WorkbenchError):
    code = "bug"


_BY_CODE: dict[str, type[WorkbenchError]] = {
    cls.code: cls
    for cls in (
        UserError, SpecError, ProfileError, SettingsError, ModelNotFound, WorldError, ModelFileError,
        OutOfMemory, EngineCrashed, EngineStartFailed, PromptTooLong, HubError, HubOffline, HubAccessDenied,
        DownloadBroken, HistoryError, StorageFull, Bug,
    )
}  # fmt: skip


def from_code(code: str, message: str, detail: str | None = None) -> WorkbenchError:
    """The error that crossed a process wall as `code` and sentence; unknown codes keep their code."""
    cls = _BY_CODE.get(code, WorkbenchError)
    return cls(message, code=code, detail=detail)
