"""GGUF files on disk: their headers, the library that finds them, and quantizations made from them."""
