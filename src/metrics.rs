//! Numbers as text for Prometheus (exposition format 0.0.4).

use std::fmt::Write;

/// A text that grows by one metric after the other, all with names of one prefix.
pub struct Metrics {
    prefix: &'static str,
    text: String,
}

impl Metrics {
    pub fn new(prefix: &'static str) -> Metrics {
        Metrics {
            prefix,
            text: String::with_capacity(4096),
        }
    }

    /// Begins a metric.
    pub fn head(&mut self, name: &str, help: &str) {
        // What only grows ends in _total, by convention.
        let kind = match name.ends_with("_total") {
            true => "counter",
            false => "gauge",
        };
        let prefix = self.prefix;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {prefix}{name} {help}");
        let _ = writeln!(self.text, "# TYPE {prefix}{name} {kind}");
    }

    /// One number of the metric; `labels` with their braces, or empty.
    pub fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.text, "{}{name}{labels} {value}", self.prefix);
    }

    /// A metric that is one number.
    pub fn add(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help);
        self.line(name, "", value);
    }

    pub fn into_text(self) -> String {
        self.text
    }
}
