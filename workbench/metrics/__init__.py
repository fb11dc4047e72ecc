"""Statistics, latency budgets and telemetry."""
