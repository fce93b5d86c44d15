//! The same build seen live and by tcpdump.
