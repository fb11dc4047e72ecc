from __future__ import annotations

import io
import struct

import pytest

from workbench.engine import api, protocol
from workbench.errors import ModelFileError
from workbench.runs.record import Dropped, LoadReport, MemoryItem, Segment, ThinkingSwitch
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, Sampling

REPORT = LoadReport(
    engine_build="b", devices=(), threads=2, gpu_layers=0, context_length=4096, trained_context_length=None,
    architecture="llama", model_name="m", quantization="F16", parameters=1, model_size_bytes=2, vocabulary_size=3,
    chat_templates=("default",), thinking_switch=ThinkingSwitch("thinking", "<think>", "</think>"),
    memory=(MemoryItem("kv", "CPU", 7),), load_ms=1.5, warnings=("w",),
)  # fmt: skip
MESSAGES = [
    protocol.Load(ModelRef("/m.gguf", "m"), EngineOptions(tensor_split=(0.5, 0.5)), memory_check=False),
    protocol.CancelLoad(),
    protocol.Run(
        api.EngineRequest(
            "r",
            (Message("user", "héllo\n\ud800", document="d"),),
            ChatOptions(thinking="on", thinking_budget=0),
            Sampling(logit_bias=((3, -1.0),)),
            Limits(max_tokens=5, stop=("\n\n",)),
        )
    ),
    protocol.Cancel("r"),
    protocol.AnswerNow("r"),
    protocol.Hello(7),
    protocol.LoadProgressed("weights", 0.25),
    protocol.LoadProgressed("context", None),
    protocol.LoadDone(REPORT),
    protocol.WorkFailed("kind", "code", "sentence", None),
    protocol.Render("{{ x }}", {"x": [1, {"y": None}]}),
    protocol.Quantize("a", "b", "Q8_0", 2),
    api.PromptReady("r", "té", ("t", "é"), (Segment("question", 2),), 2, 1, 4096, Dropped("drop_oldest", 3, 1), "n"),
    api.PrefillProgress("r", 1, 2, 3),
    api.Tokens("r", (1, 2), ("a", ""), (10, 20), (True, False)),
    api.Shifted("r", Dropped("shift", 9)),
    api.RequestFinished("r", "stop_string", 5, 2, 1.25),
    api.RequestFailed("r", "c", "m", 5, "tail"),
    api.RequestCancelled("r", "killed", 6),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_comes_out_of_its_frame_equal(message: protocol.Message) -> None:
    stream = io.BytesIO()
    protocol.write_frame(stream, message)
    stream.seek(0)
    assert protocol.read_frame(stream) == message
    assert protocol.read_frame(stream) is None


def test_an_error_keeps_its_class_and_its_own_code() -> None:
    error = ModelFileError("No.", code="architecture_unsupported")
    again = protocol.WorkFailed.of(error, "log").error()
    assert (type(again), again.code, again.message, again.detail) == (ModelFileError, error.code, "No.", "log")


def test_a_stream_that_ends_inside_a_frame_is_at_its_end() -> None:
    frame = protocol.encode(protocol.Hello(7))
    for length in range(len(frame)):
        assert protocol.read_frame(io.BytesIO(frame[:length])) is None


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'["Hello"]', b'["Nobody",{}]', b'["Hello",{"pid":"x"}]', b'["Hello",{"pid":1,"more":2}]',
     b'["Tokens",{"request_id":"r","ids":[1],"texts":[],"stamps_ns":[],"is_thinking":[]}]'],
)  # fmt: skip
def test_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(payload)


def test_a_length_beyond_reason_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.read_frame(io.BytesIO(struct.pack(">I", 2**32 - 1)))
