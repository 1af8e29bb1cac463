//! A server's numbers as text for Prometheus.

use super::stats::Counts;
use crate::metrics::Metrics;

/// Name, meaning, and where the number is.
type Metric = (&'static str, &'static str, fn(&Counts) -> u64);

const METRICS: &[Metric] = &[
    ("connections_open", "Connections that are open.", |c| {
        c.connections_open
    }),
    ("connections_total", "Connections served.", |c| {
        c.connections_total
    }),
    (
        "connections_refused_total",
        "Connections refused by an allow rule or a limit of their uid.",
        |c| c.connections_refused,
    ),
    ("requests_total", "Requests whose head has come.", |c| {
        c.requests_total
    }),
    ("requests_in_flight", "Requests at work.", |c| {
        c.requests_in_flight
    }),
    (
        "requests_malformed_total",
        "Heads that were no HTTP.",
        |c| c.requests_malformed,
    ),
    (
        "requests_unanswered_total",
        "Requests whose connection was gone before their answer.",
        |c| c.requests_unanswered,
    ),
    (
        "requests_aborted_total",
        "Unanswered requests that the end of a drain cut short.",
        |c| c.requests_aborted,
    ),
    (
        "requests_forbidden_total",
        "Requests refused by an allow rule.",
        |c| c.requests_forbidden,
    ),
    (
        "requests_overload_total",
        "Requests refused by a limit.",
        |c| c.overloads,
    ),
    ("received_bytes_total", "Bytes read from sockets.", |c| {
        c.bytes_received
    }),
    ("sent_bytes_total", "Bytes written to sockets.", |c| {
        c.bytes_sent
    }),
    ("accept_errors_total", "Failures of accept.", |c| {
        c.accept_errors
    }),
    (
        "listeners_lost_total",
        "Listeners whose socket file was removed or replaced.",
        |c| c.listeners_lost,
    ),
    (
        "log_dropped_total",
        "Log lines of the runtime that found no room.",
        |c| c.log_dropped,
    ),
    (
        "access_dropped_total",
        "Entries of the access log that found no room.",
        |c| c.access_dropped,
    ),
    (
        "uptime_seconds",
        "Seconds since the server was made.",
        |c| c.uptime.as_secs(),
    ),
];

impl Counts {
    pub fn to_prometheus(&self) -> String {
        let mut metrics = Metrics::new("hysock_server_");
        for (name, help, get) in METRICS {
            metrics.add(name, help, get(self));
        }
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let name = "answers_total";
        metrics.head(name, "Answers by the class of their status.");
        for (class, count) in classes.iter().zip(self.answers) {
            metrics.line(name, &format!("{{class=\"{class}\"}}"), count);
        }
        let name = "timeouts_total";
        metrics.head(name, "Deadlines passed, by what was waited for.");
        for (of, count) in [
            ("head", self.timeouts_head),
            ("idle", self.timeouts_idle),
            ("progress", self.timeouts_progress),
            ("handler", self.timeouts_handler),
        ] {
            metrics.line(name, &format!("{{of=\"{of}\"}}"), count);
        }
        metrics.into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_small_and_every_line_is_a_comment_or_a_sample() {
        let counts = Counts {
            requests_total: u64::MAX,
            answers: [u64::MAX; 5],
            timeouts_idle: 7,
            uptime: Duration::from_millis(2_900),
            ..Counts::default()
        };
        let text = counts.to_prometheus();
        // What the documentation of hysock_server_metrics() promises, with room for large numbers.
        assert!(text.len() < 8192 - METRICS.len() * 20, "{}", text.len());
        assert!(text.ends_with('\n'));
        let has = |line: &str| text.lines().any(|l| l == line);
        assert!(has("# TYPE hysock_server_requests_total counter"));
        assert!(has("# TYPE hysock_server_uptime_seconds gauge"));
        assert!(has("hysock_server_requests_total 18446744073709551615"));
        assert!(has(
            "hysock_server_answers_total{class=\"5xx\"} 18446744073709551615"
        ));
        assert!(has("hysock_server_timeouts_total{of=\"idle\"} 7"));
        assert!(has("hysock_server_uptime_seconds 2"));
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(name.starts_with("hysock_server_"), "{line}");
            value.parse::<u64>().unwrap();
        }
    }
}
