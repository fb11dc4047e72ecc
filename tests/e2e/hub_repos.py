"""What the Hub of these tests offers: a small model that runs, two files to fetch, and a gated repository."""

from __future__ import annotations

from tests.e2e.program import ROOT
from tests.fakes.hub_server import HubServer, SeededContent

DEMO = ROOT / "assets" / "models" / "demo-F16.gguf"
REPO, FILE = "someone/Tiny-GGUF", "Tiny-F16.gguf"
LARGE = "someone/Large-GGUF"
GATED = "someone/Gated-GGUF"
LARGE_CONTENT = SeededContent(12_000_000, seed=3)


def fill(server: HubServer) -> None:
    facts = {"total": 3_957_000, "architecture": "llama", "context_length": 1024}
    server.add_repo(REPO, {FILE: DEMO, "README.md": b"# Tiny"}, license="mit", downloads=900, likes=9, gguf=facts)
    server.add_repo(LARGE, {"Large-Q4_K_M.gguf": LARGE_CONTENT, "Large-Q8_0.gguf": SeededContent(9_000_000)},
                    license="apache-2.0", downloads=50, likes=40)  # fmt: skip
    server.add_repo(GATED, {"Gated-Q4_K_M.gguf": DEMO}, gated="manual", downloads=10)
