//! A receiver's numbers as text for Prometheus.

use super::Counts;
use crate::metrics::Metrics;

impl Counts {
    pub fn to_prometheus(&self) -> String {
        let mut metrics = Metrics::new("hysock_receiver_");
        for (name, help, value) in [
            (
                "messages_total",
                "Messages that were handed over.",
                self.received,
            ),
            (
                "message_bytes_total",
                "Bytes of these messages.",
                self.received_bytes,
            ),
            (
                "held_bytes",
                "Bytes of the budget that are held.",
                self.held,
            ),
            (
                "producers_connected",
                "Producers that are connected.",
                self.producers,
            ),
            ("producers_total", "Producers so far.", self.producers_total),
            (
                "oversize_total",
                "Producers that announced too much.",
                self.oversize,
            ),
            (
                "timeouts_total",
                "Producers whose message under way stood still.",
                self.timed_out,
            ),
            (
                "forbidden_total",
                "Producers that no allow rule admits.",
                self.forbidden,
            ),
            (
                "overload_total",
                "Producers beyond the share of their uid.",
                self.overload,
            ),
            (
                "listeners_lost_total",
                "Socket files that somebody removed or replaced.",
                self.listeners_lost,
            ),
            (
                "fds_refused_total",
                "Messages whose descriptors nobody wanted.",
                self.fds_refused,
            ),
        ] {
            metrics.add(name, help, value);
        }
        let name = "lost_total";
        metrics.head(name, "Messages that were not handed over, by the reason.");
        for (reason, count) in [
            ("dropped", self.dropped),
            ("skipped", self.skipped),
            ("truncated", self.truncated),
            ("abandoned", self.abandoned),
        ] {
            metrics.line(name, &format!("{{reason=\"{reason}\"}}"), count);
        }
        metrics.into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_every_line_is_a_comment_or_a_sample() {
        let counts = Counts {
            received: 7,
            skipped: u64::MAX,
            ..Counts::default()
        };
        let text = counts.to_prometheus();
        // What the documentation of hysock_receiver_metrics() promises, with room for large numbers.
        assert!(text.len() < 4096 - 20 * 20, "{}", text.len());
        let has = |line: &str| text.lines().any(|l| l == line);
        assert!(has("hysock_receiver_messages_total 7"));
        assert!(has(&format!(
            "hysock_receiver_lost_total{{reason=\"skipped\"}} {}",
            u64::MAX
        )));
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(name.starts_with("hysock_receiver_"), "{line}");
            value.parse::<u64>().unwrap();
        }
    }
}
