//! `--record`, by the program itself: what is in the file, what becomes of it when something goes wrong, and what
//! Wireshark makes of it.

mod disk;
mod killed;
#[path = "../../../proxy/tests/common/needles.rs"]
mod needles;
mod read;
mod redact;
mod scene;
mod wireshark;
