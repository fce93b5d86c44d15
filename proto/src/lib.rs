//! The messages of container build sessions.
