"""Plain data that crosses every wall: specs, events, records and timings; standard library only."""
