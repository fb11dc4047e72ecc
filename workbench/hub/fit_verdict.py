"""Whether an estimated need fits into the memory that is free, in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workbench.hub.memory import MemoryEstimate, Verdict
from workbench.units import bytes_text, count_text

CPU = "CPU"
# What the machine needs to stay usable; the engine keeps the same before it loads.
SPARE_BYTES = 200 * 1024**2
# A GPU's own run time (CUDA's context, for one) takes some hundred megabytes before any buffer.
GPU_SPARE_BYTES = 500 * 1000**2
SHORTEST_CONTEXT = 512
# From this context length on, a suggested one is a multiple of this.
_STEPS = ((16_384, 4096), (2048, 1024), (0, 256))
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Shortage:
    device: str
    need_bytes: int
    free_bytes: int


def shortages(estimate: MemoryEstimate, free: Mapping[str, int]) -> tuple[Shortage, ...]:
    """The devices that lack memory; those whose free memory is not known are left out."""
    found = []
    for device in places(estimate):
        need = needed_bytes(estimate, device)
        if device in free and need > free[device]:
            found.append(Shortage(device, need, free[device]))
    return tuple(found)


def needed_bytes(estimate: MemoryEstimate, device: str) -> int:
    """What must be free: what a full context touches, and the spare part."""
    return taken_bytes(estimate, device) + (SPARE_BYTES if device == CPU else GPU_SPARE_BYTES)


def taken_bytes(estimate: MemoryEstimate, device: str) -> int:
    """What a full context touches; the machine's memory has to hold what GPUs in the processor hold, too."""
    shared = estimate.shared_devices if device == CPU else ()
    return sum(estimate.resident_bytes(device=name) for name in (device, *shared))


def places(estimate: MemoryEstimate) -> tuple[str, ...]:
    """The devices with memory of their own."""
    return tuple(device for device in estimate.devices if device not in estimate.shared_devices)


def shorter_contexts(context_length: int) -> list[int]:
    """Sensible lengths below this one, ascending."""
    lengths: list[int] = []
    length = context_length - 1
    while length >= SHORTEST_CONTEXT:
        step = next(step for limit, step in _STEPS if length >= limit)
        length -= length % step
        if length >= SHORTEST_CONTEXT:
            lengths.append(length)
        length -= 1
    return lengths[::-1]


def guessed_context(shorter: MemoryEstimate, longer: MemoryEstimate, free: Mapping[str, int]) -> int:
    """The longest context that fits if memory grows evenly between the two, as it nearly does; at least the shorter.

    A long context takes a tenth of a second to plan, so that a good guess saves seconds of search.
    """
    tokens = longer.context_length - shorter.context_length
    guess = float(longer.context_length)
    for lack in shortages(longer, free):
        least = needed_bytes(shorter, lack.device)
        if lack.need_bytes > least:
            room = (lack.free_bytes - least) / (lack.need_bytes - least)
            guess = min(guess, shorter.context_length + room * tokens)
    return max(shorter.context_length, int(guess))


def largest(
    candidates: Sequence[int],
    fits: Callable[[Sequence[int]], Sequence[bool]],
    at_once: int = _AT_ONCE,
    guess: int | None = None,
) -> int | None:
    """The largest of the ascending `candidates` that fits; asks for a few at once. None: not even the first.

    `guess` is the place of the probable answer: it and its neighbours are asked first.
    """
    low, high = -1, len(candidates)  # what fits, and what does not
    while high - low > 1:
        count = min(at_once, high - low - 1)
        probes = sorted({low + (high - low) * (index + 1) // (count + 1) for index in range(count)} - {low})
        if guess is not None:
            probes = [place for place in (guess - 1, guess, guess + 1) if low < place < high] or probes
            guess = None
        answers = fits([candidates[probe] for probe in probes])
        for probe, answer in zip(probes, answers, strict=True):
            if not answer:
                high = probe
                break
            low = probe
    return candidates[low] if low >= 0 else None


def fits_verdict(estimate: MemoryEstimate, free: Mapping[str, int]) -> Verdict:
    takes = [_takes(estimate, device, free) for device in places(estimate) if device in free]
    unknown = [device for device in places(estimate) if device not in free]
    tail = f" How much is free on {' and '.join(unknown)} is not known." if unknown else ""
    return Verdict("fits", f"Fits: takes {' and '.join(takes)}, with {_tokens(estimate)}.{tail}")


def less_context_verdict(asked: MemoryEstimate, shorter: MemoryEstimate, lack: Shortage) -> Verdict:
    return Verdict(
        "less_context",
        f"{_needs(asked, lack)} With {_tokens(shorter)} it fits and takes "
        f"{bytes_text(taken_bytes(shorter, lack.device))}.",
        context_length=shorter.context_length,
    )


def fewer_layers_verdict(asked: MemoryEstimate, gpu_layers: int, lack: Shortage) -> Verdict:
    return Verdict(
        "fewer_gpu_layers",
        f"{_needs(asked, lack)} With {count_text(gpu_layers)} layers on the GPU it fits; the rest runs on the CPU.",
        gpu_layers=gpu_layers,
    )


def does_not_fit_verdict(asked: MemoryEstimate, lack: Shortage, shortest: MemoryEstimate) -> Verdict:
    even = ""
    if shortest.context_length < asked.context_length:
        even = f" Even with {_tokens(shortest)} it needs {bytes_text(needed_bytes(shortest, lack.device))}."
    return Verdict(
        "does_not_fit",
        f"{_needs(asked, lack)}{even} Choose a smaller quantization or model, or close other programs. "
        "Loading it anyway may slow the machine down or be ended by the system.",
    )


def _needs(estimate: MemoryEstimate, lack: Shortage) -> str:
    place = "" if lack.device == CPU else f" on {lack.device}"
    return (
        f"Needs {bytes_text(lack.need_bytes)}{place} with {_tokens(estimate)}, but only {bytes_text(lack.free_bytes)} "
        "are free."
    )


def _tokens(estimate: MemoryEstimate) -> str:
    return f"{count_text(estimate.context_length)} tokens of context"


def _takes(estimate: MemoryEstimate, device: str, free: Mapping[str, int]) -> str:
    place = "" if device == CPU and len(free) == 1 else f" on {device}"
    return f"{bytes_text(taken_bytes(estimate, device))} of the {bytes_text(free[device])} free{place}"
