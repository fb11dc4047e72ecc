"""What can be chosen where a model may lie on several GPUs, as texts for the advanced knobs."""

from __future__ import annotations

from workbench.runs.record import LoadReport
from workbench.runs.spec import Placement, SplitMode

Way = tuple[SplitMode, int]


def gpu_names(load: LoadReport | None) -> tuple[str, ...]:
    """The GPUs that llama.cpp would share a model over, in its order: those in the processor only without others."""
    devices = load.devices if load is not None else ()
    own = tuple(device for device in devices if device.kind == "gpu")
    gpus = own or tuple(device for device in devices if device.kind == "igpu")
    return tuple(device.name for device in gpus)


def placement_choices(names: tuple[str, ...], placement: Placement) -> list[tuple[str, Way]]:
    """Text and (split mode, main GPU); what is set is among them, also when that GPU is not there."""
    main = placement.main_gpu if placement.split_mode == "row" else 0
    choices: list[tuple[str, Way]] = [
        ("All, each with whole layers", ("layer", 0)),
        ("All, with rows of each matrix", ("row", main)),
    ]
    choices += [(f"{name} alone", ("none", index)) for index, name in enumerate(names)]
    way: Way = (placement.split_mode, placement.main_gpu)
    if placement.split_mode == "none" and placement.main_gpu >= len(names):
        choices.append((f"GPU {placement.main_gpu} alone", way))
    return choices


def shares_text(placement: Placement) -> str:
    return ", ".join(f"{share:g}" for share in placement.tensor_split)


def parse_shares(text: str) -> tuple[float, ...] | None:
    """Numbers with commas or spaces; empty for none, None for what is no such list."""
    try:
        shares = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        return None
    return shares if all(0 <= share <= 1_000_000 for share in shares) else None
