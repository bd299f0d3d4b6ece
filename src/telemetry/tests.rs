//! Telemetry as a whole: the metrics page, and export to a collector in process.
