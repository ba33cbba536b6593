//! Events and failures of the last hour as a chart, drawn here and not by a script. Pure.

use super::overview::grouped;
use crate::observe::last_hour::{Counts, MINUTES};

/// Height of the part above the line, for events; below it are failures.
const ABOVE: u64 = 60;
/// Height of the part below the line.
const BELOW: u64 = 30;
/// Width of one minute.
const MINUTE: u64 = 10;

/// The chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourChart {
    /// One for each minute that has something.
    pub bars: Vec<Bar>,
    /// Events that were accepted.
    pub delivered: String,
    /// Polls and deliveries that failed.
    pub failed: String,
    /// The most of one minute.
    pub most: String,
    /// Name of the replica that counted; `None`: there are no others.
    pub replica: Option<String>,
}

/// One rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Whether it is of failures, below the line.
    pub is_failure: bool,
    /// Its left side.
    pub x: u64,
    /// Its top.
    pub y: u64,
    /// Its height.
    pub height: u64,
}

/// The chart of the counts; `None`: nothing happened.
pub fn chart(minutes: &[Counts; MINUTES], replica: Option<String>) -> Option<HourChart> {
    let sum = |of: fn(&Counts) -> u32| minutes.iter().map(|own| u64::from(of(own))).sum::<u64>();
    let (delivered, failed) = (sum(|own| own.delivered), sum(|own| own.failed));
    let most = minutes.iter().map(|own| own.delivered.max(own.failed)).max().map_or(0, u64::from);
    if most == 0 {
        return None;
    }
    // Both parts have the same scale as far as they fit; what there is shows, however little it is.
    let height = |count: u32, room: u64| (u64::from(count) * ABOVE).div_ceil(most).min(room);
    let bars = (0..).step_by(usize::try_from(MINUTE).unwrap_or(1)).zip(minutes).flat_map(|(x, own)| {
        let (up, down) = (height(own.delivered, ABOVE), height(own.failed, BELOW));
        [Bar { is_failure: false, x, y: ABOVE - up, height: up }, Bar { is_failure: true, x, y: ABOVE + 1, height: down }]
    });
    Some(HourChart {
        bars: bars.filter(|bar| bar.height > 0).collect(),
        delivered: grouped(delivered),
        failed: grouped(failed),
        most: grouped(most),
        replica,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_has_its_place_and_little_shows_next_to_much() {
        let mut minutes = [Counts::default(); MINUTES];
        assert_eq!(chart(&minutes, None), None);
        minutes[0].delivered = 1;
        minutes[59] = Counts { delivered: 12_000, failed: 12_000 };
        let seen = chart(&minutes, None).unwrap();
        assert_eq!((&*seen.delivered, &*seen.failed, &*seen.most), ("12\u{202F}001", "12\u{202F}000", "12\u{202F}000"));
        let bar = |is_failure, x, y, height| Bar { is_failure, x, y, height };
        assert_eq!(seen.bars, [bar(false, 0, 59, 1), bar(false, 590, 0, 60), bar(true, 590, 61, 30)]);
    }
}
