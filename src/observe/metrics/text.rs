//! The formats of an exposition, and which one a client wants. Pure.

use std::fmt::Write as _;

/// A format of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Text,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            // §5.1 of its specification
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What a client wants by its `Accept` header (RFC 9110 §12.5.1): `OpenMetrics` if it names it and prefers nothing else. As with
    /// Prometheus' own clients, every other client gets the text format, which every scraper reads.
    pub fn wanted(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            let is = |name: &str| media.eq_ignore_ascii_case(name);
            if is("application/openmetrics-text") && matches!(version, None | Some("1.0.0")) {
                open_metrics = open_metrics.max(quality);
            } else if is("text/plain") && matches!(version, None | Some("0.0.4")) {
                text = text.max(quality);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// The text format of an exposition in `OpenMetrics` without its end: a metric has the name of its samples, an info is a gauge, and
/// units are in names alone.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), Some(words)) => help = Some(words),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some(help) = help.take() {
                    // Writing into a String never fails. Quotes are escaped in `OpenMetrics` alone.
                    let _ = writeln!(text, "# HELP {name}{suffix} {}", help.replace("\\\"", "\""));
                }
                let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_wants_most() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, wanted) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;q=0.5, text/plain;q=0.5", Format::OpenMetrics),
            ("application/openmetrics-text;q=0.4, text/plain;version=0.0.4;q=0.5", Format::Text),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=often", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::wanted(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn the_text_format_names_samples() {
        let open_metrics = "# HELP a_seconds How \\\"long\\\".\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                            a_seconds_bucket{le=\"+Inf\"} 1\n# HELP b What.\n# TYPE b counter\nb_total{c=\"d\"} 2\n\
                            # HELP e Which.\n# TYPE e info\ne_info{version=\"1\"} 1\n";
        let text = "# HELP a_seconds How \"long\".\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"+Inf\"} 1\n\
                    # HELP b_total What.\n# TYPE b_total counter\nb_total{c=\"d\"} 2\n\
                    # HELP e_info Which.\n# TYPE e_info gauge\ne_info{version=\"1\"} 1\n";
        assert_eq!(plain(open_metrics), text);
    }
}
