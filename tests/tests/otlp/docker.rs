//! Real builds with `--otlp`.
