"""Engines behind one small interface, the llama.cpp child process among them."""
