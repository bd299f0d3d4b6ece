//! Groups at work over a log in memory.
