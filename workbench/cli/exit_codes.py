"""The exit codes of `workbench`: what each means, and which error ends in which."""

from __future__ import annotations

from enum import IntEnum

from workbench.errors import WorkbenchError


class ExitCode(IntEnum):
    FINISHED = 0
    FAILED = 1
    USAGE = 2
    MODEL = 3
    OUT_OF_MEMORY = 4
    PROMPT_TOO_LONG = 5
    ENGINE_CRASHED = 6
    PROFILE = 7
    STORAGE = 8
    HUB = 9
    OFFLINE = 10
    ACCESS = 11
    BUG = 70
    CANCELLED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.FINISHED: "finished",
    ExitCode.FAILED: "failed, or something needs mending",
    ExitCode.USAGE: "wrong usage: an unknown option or a value out of range",
    ExitCode.MODEL: "model not found, or its file cannot be used",
    ExitCode.OUT_OF_MEMORY: "not enough memory",
    ExitCode.PROMPT_TOO_LONG: "the prompt does not fit the context",
    ExitCode.ENGINE_CRASHED: "the engine crashed or did not start",
    ExitCode.PROFILE: "a profile or the settings are not valid",
    ExitCode.STORAGE: "the history, a folder or standard output cannot be used, or a run that finished was not kept",
    ExitCode.HUB: "the Hub answered with an error, or what it sent is not what it promised",
    ExitCode.OFFLINE: "no network, or told to stay offline",
    ExitCode.ACCESS: "a gated or private repository that this token does not open",
    ExitCode.BUG: "a bug of this program; the log has the details",
    ExitCode.CANCELLED: "cancelled",
}

# Every code of an error in the program is here: a run in the history knows the code only, not the class.
_BY_ERROR_CODE: dict[str, ExitCode] = {
    "error": ExitCode.FAILED,
    "world_error": ExitCode.FAILED,
    "installation_incomplete": ExitCode.FAILED,
    "no_model": ExitCode.FAILED,
    "keyring_missing": ExitCode.FAILED,
    "keyring_unusable": ExitCode.FAILED,
    "probe_failed": ExitCode.FAILED,
    "probe_running": ExitCode.FAILED,
    "run_going_on": ExitCode.FAILED,
    "usage": ExitCode.USAGE,
    "user_error": ExitCode.USAGE,
    "spec_invalid": ExitCode.USAGE,
    "prompt_empty": ExitCode.USAGE,
    "grammar_invalid": ExitCode.USAGE,
    "logit_bias_invalid": ExitCode.USAGE,
    "quantization_unknown": ExitCode.USAGE,
    "unknown_format": ExitCode.USAGE,
    "term_unknown": ExitCode.USAGE,
    "run_not_found": ExitCode.USAGE,
    "run_ambiguous": ExitCode.USAGE,
    "run_is_running": ExitCode.USAGE,
    "quantization_exists": ExitCode.USAGE,
    "download_under_way": ExitCode.USAGE,
    "download_unknown": ExitCode.USAGE,
    "hub_id_invalid": ExitCode.USAGE,
    "hub_endpoint_invalid": ExitCode.USAGE,
    "hub_token_invalid": ExitCode.USAGE,
    "proxy_unusable": ExitCode.USAGE,
    "model_not_found": ExitCode.MODEL,
    "model_file_invalid": ExitCode.MODEL,
    "model_file_truncated": ExitCode.MODEL,
    "architecture_unsupported": ExitCode.MODEL,
    "not_generative": ExitCode.MODEL,
    "context_refused": ExitCode.MODEL,
    "template_failed": ExitCode.MODEL,
    "quantization_needs_matrix": ExitCode.MODEL,
    "quantize_source_unsuitable": ExitCode.MODEL,
    "matrix_unusable": ExitCode.MODEL,
    "adapter_unusable": ExitCode.MODEL,
    "adapter_wrong_model": ExitCode.MODEL,
    "header_too_large": ExitCode.MODEL,
    "hub_repository_unknown": ExitCode.MODEL,
    "hub_revision_unknown": ExitCode.MODEL,
    "hub_file_unknown": ExitCode.MODEL,
    "out_of_memory": ExitCode.OUT_OF_MEMORY,
    "prompt_too_long": ExitCode.PROMPT_TOO_LONG,
    "engine_crashed": ExitCode.ENGINE_CRASHED,
    "engine_start_failed": ExitCode.ENGINE_CRASHED,
    "plan_timeout": ExitCode.ENGINE_CRASHED,
    "profile_invalid": ExitCode.PROFILE,
    "settings_invalid": ExitCode.PROFILE,
    "history_unusable": ExitCode.STORAGE,
    "history_damaged": ExitCode.STORAGE,
    "history_newer": ExitCode.STORAGE,
    "history_closed": ExitCode.STORAGE,
    "output_unwritable": ExitCode.STORAGE,
    "storage_full": ExitCode.STORAGE,
    "folder_not_writable": ExitCode.STORAGE,
    "folder_no_answer": ExitCode.STORAGE,
    "hub_error": ExitCode.HUB,
    "download_broken": ExitCode.HUB,
    "hub_certificate": ExitCode.HUB,
    "hub_connection_lost": ExitCode.HUB,
    "hub_encryption": ExitCode.HUB,
    "hub_file_changed": ExitCode.HUB,
    "hub_file_name_unsafe": ExitCode.HUB,
    "hub_in_trouble": ExitCode.HUB,
    "hub_not_a_hub": ExitCode.HUB,
    "hub_not_the_file": ExitCode.HUB,
    "hub_range_broken": ExitCode.HUB,
    "hub_rate_limited": ExitCode.HUB,
    "hub_refused": ExitCode.HUB,
    "hub_slow": ExitCode.HUB,
    "hub_offline": ExitCode.OFFLINE,
    "hub_proxy": ExitCode.OFFLINE,
    "hub_access_denied": ExitCode.ACCESS,
    "hub_token_refused": ExitCode.ACCESS,
    "cancelled": ExitCode.CANCELLED,
    "load_cancelled": ExitCode.CANCELLED,
    "hash_cancelled": ExitCode.CANCELLED,
    "import_cancelled": ExitCode.CANCELLED,
    "bug": ExitCode.BUG,
}


def for_error(error: WorkbenchError) -> ExitCode:
    """The code of the nearest class that has one, so that a finer error code needs no entry here."""
    codes = [error.code, *(getattr(cls, "code", "") for cls in type(error).__mro__)]
    return next((_BY_ERROR_CODE[code] for code in codes if code in _BY_ERROR_CODE), ExitCode.FAILED)


def for_error_code(code: str) -> ExitCode:
    """The same for an error that is known by its code only."""
    return _BY_ERROR_CODE.get(code, ExitCode.FAILED)


def epilog() -> str:
    """One line for the end of `--help`."""
    return "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."
