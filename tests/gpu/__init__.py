"""Proofs and measurements that need an NVIDIA GPU; README.md says how they get onto a machine without a network."""
