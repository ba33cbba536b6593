//! The last polls and deliveries of an instance, as this process saw them. Pure.

use chrono::{DateTime, Utc};

use super::stamp::Stamp;
use crate::api::visible::one_line;
use crate::observe::journal::{Answer, Delivery, Entry, Poll, PollEnd, What};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it ended.
    pub at: Stamp,
    /// Which resource.
    pub resource: String,
    /// What it was, such as `12 polls` or `updated`.
    pub what: String,
    /// The id of the object of an event.
    pub object: String,
    /// What came of it.
    pub result: String,
    /// Whether it succeeded.
    pub is_well: bool,
    /// How long it took.
    pub took: String,
}

/// The lines of entries, in their order.
pub fn lines(entries: &[Entry], now: DateTime<Utc>) -> Vec<Line> {
    entries.iter().map(|entry| line(entry, now)).collect()
}

/// How many polls of a resource failed since the last one that did not, as far as the entries reach, which begin with the latest one.
pub fn failures_in_a_row(entries: &[Entry], resource: &str) -> u64 {
    let polls = entries.iter().filter(|entry| *entry.resource == *resource).filter_map(|entry| match &entry.what {
        What::Polls { last, count, .. } => Some((last.end, *count)),
        What::Delivery(_) => None,
    });
    polls.take_while(|(end, _)| matches!(end, PollEnd::Failed(_))).map(|(_, count)| u64::from(count)).sum()
}

fn line(entry: &Entry, now: DateTime<Utc>) -> Line {
    let at = Stamp::new(entry.at, now);
    let resource = one_line(&entry.resource).into_owned();
    match &entry.what {
        What::Polls { last, count, .. } => Line {
            what: if *count == 1 { "poll".to_owned() } else { format!("{count} polls") },
            object: String::new(),
            result: poll(last),
            is_well: !matches!(last.end, PollEnd::Failed(_) | PollEnd::CallbackClosed),
            took: took(last.took_ms),
            at,
            resource,
        },
        What::Delivery(delivery) => Line {
            what: delivery.kind.as_str().to_owned(),
            object: one_line(&delivery.object).into_owned(),
            result: sent(delivery),
            is_well: delivery.answer == Answer::Accepted,
            took: took(delivery.took_ms),
            at,
            resource,
        },
    }
}

fn poll(poll: &Poll) -> String {
    match poll.end {
        PollEnd::Failed(reason) => format!("failed: {reason}"),
        PollEnd::CallbackClosed => "waits: nothing may be sent to the callback for now".to_owned(),
        PollEnd::NotModified => "not modified".to_owned(),
        PollEnd::Read => {
            let counted = |number: u32, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
            let sent = |number: u32, what: &str| if number > 0 { format!(", {number} {what}") } else { String::new() };
            let read = format!("{} on {}", counted(poll.records, "record"), counted(poll.pages, "page"));
            [read, sent(poll.accepted, "delivered"), sent(poll.failed, "not accepted")].concat()
        }
    }
}

fn sent(delivery: &Delivery) -> String {
    let tried = if delivery.attempt > 1 { format!(", attempt {}", delivery.attempt) } else { String::new() };
    match delivery.answer {
        Answer::Accepted => format!("accepted{tried}"),
        answer => format!("{answer}{tried}"),
    }
}

fn took(millis: u32) -> String {
    if millis < 10_000 { format!("{millis} ms") } else { format!("{} s", millis / 1000) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::conditions::Reason;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn polls_that_bring_nothing_are_one_line_and_failures_are_named() {
        let read = Poll::new(PollEnd::Read, [2, 1, 3, 1], Duration::from_millis(12));
        let failed = Poll::new(PollEnd::Failed(Reason::ProviderTimeout), [0; 4], Duration::from_secs(30));
        let entry =
            |last, count| Entry { at: at(-60), resource: "contacts".into(), what: What::Polls { last, count, since: at(-90) } };
        let lines = lines(&[entry(read, 1), entry(failed, 12)], at(0));
        let shown = |line: &Line| format!("{} {} {} {}", line.what, line.result, line.took, line.is_well);
        assert_eq!(shown(&lines[0]), "poll 1 record on 2 pages, 3 delivered, 1 not accepted 12 ms true");
        assert_eq!(shown(&lines[1]), "12 polls failed: ProviderTimeout 30 s false");
        assert_eq!(lines[1].at.distance, "1 min ago");
        let all = [entry(failed, 3), entry(failed, 12), entry(read, 1), entry(failed, 4)];
        assert_eq!((failures_in_a_row(&all, "contacts"), failures_in_a_row(&all, "orders")), (15, 0));
        assert_eq!(failures_in_a_row(&all[2..], "contacts"), 0);
    }
}
