//! All instances at a glance, worst first, a page at a time. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use url::form_urlencoded;

use super::stamp::Stamp;
use crate::api::visible::one_line;
use crate::instances::glance::{Glance, InstanceHealth};
use crate::poll::status::InstanceStatus;

/// Instances on one page.
const PAGE: usize = 50;
/// Characters of a message in the list; all of it is on the page of the instance.
const LONGEST_MESSAGE: usize = 240;

/// What a person wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Of one namespace; empty: of all.
    pub namespace: String,
    /// Of one state.
    pub state: Option<InstanceHealth>,
    /// With this text in a name, connector, reason or message, in any case; empty: any.
    pub text: String,
    /// From 1.
    pub page: usize,
}

impl Asked {
    /// Reads the query of the address. What it does not know means nothing.
    pub fn parse(query: &str) -> Self {
        let mut asked = Self { page: 1, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "namespace" => value.trim().clone_into(&mut asked.namespace),
                "state" => {
                    asked.state = InstanceHealth::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(&value));
                }
                "q" => value.trim().clone_into(&mut asked.text),
                "page" => asked.page = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        asked
    }

    /// The address of the overview that shows this.
    fn href(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.namespace.is_empty() {
            query.append_pair("namespace", &self.namespace);
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        if !self.text.is_empty() {
            query.append_pair("q", &self.text);
        }
        if self.page > 1 {
            query.append_pair("page", &self.page.to_string());
        }
        let query = query.finish();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    fn is_narrowed(&self) -> bool {
        !self.namespace.is_empty() || self.state.is_some() || !self.text.is_empty()
    }
}

/// What the page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// What was asked for.
    pub asked: Asked,
    /// All namespaces that have instances.
    pub namespaces: Vec<String>,
    /// How many there are of each state, in the namespace; worst first.
    pub tiles: Vec<Tile>,
    /// How many there are in the namespace.
    pub all: Tile,
    /// Events accepted, of all in the namespace.
    pub delivered: String,
    /// Events parked, of all in the namespace.
    pub parked: String,
    /// Instances of this page.
    pub rows: Vec<Row>,
    /// How many fit what was asked for.
    pub found: usize,
    /// First and last of them that are on this page, from 1.
    pub shown: (usize, usize),
    /// The page before.
    pub previous: Option<String>,
    /// The page after.
    pub next: Option<String>,
    /// Whether only a part of all is requested.
    pub is_narrowed: bool,
}

/// A number that leads to the instances that it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// `None`: all.
    pub health: Option<InstanceHealth>,
    /// How many.
    pub count: usize,
    /// The overview of them.
    pub href: String,
    /// Whether it is what is shown.
    pub is_current: bool,
    /// Where its part of the bar begins, of 1000.
    pub from: usize,
    /// How much of the bar it takes, of 1000.
    pub width: usize,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its page.
    pub href: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The name that people gave it.
    pub display_name: Option<String>,
    /// Its connector.
    pub connector: Option<String>,
    /// How it is.
    pub health: InstanceHealth,
    /// Reason of `Ready`.
    pub reason: String,
    /// Message of `Ready`, where it is not just well.
    pub message: Option<String>,
    /// Number of resources.
    pub resources: usize,
    /// Events accepted.
    pub delivered: String,
    /// Events parked.
    pub parked: u64,
    /// Events that are tried again.
    pub waiting: u64,
    /// When a change was last accepted.
    pub last_change: Option<Stamp>,
    /// When it is polled next, if that is still to come.
    pub next_poll: Option<Stamp>,
}

impl Overview {
    /// Shows when instances are polled next that this process runs: what was reported is as old as the last change.
    pub fn lay(&mut self, current: &[InstanceStatus], now: DateTime<Utc>) {
        for row in &mut self.rows {
            let own = current.iter().find(|own| *own.instance.namespace == *row.namespace && *own.instance.name == *row.name);
            if let Some(own) = own {
                let next = own.resources.iter().filter_map(|own| own.next_poll_time.0).min();
                row.next_poll = next.map(|at| Stamp::new(at.max(now), now));
            }
        }
    }
}

/// What is asked for, of all that may be seen.
pub fn overview(glances: Vec<Glance>, asked: Asked, now: DateTime<Utc>) -> Overview {
    let namespaces: BTreeSet<&str> = glances.iter().map(|glance| &*glance.of.namespace).collect();
    let namespaces = namespaces.into_iter().map(str::to_owned).collect();
    let is_there = |glance: &Glance| asked.namespace.is_empty() || *glance.of.namespace == *asked.namespace;
    let mut there: Vec<Glance> = glances.into_iter().filter(is_there).collect();
    let (delivered, parked) =
        there.iter().fold((0, 0), |(delivered, parked), own| (delivered + own.delivered, parked + own.parked));
    let count = there.len();
    let (tiles, all) = tiles(&there, &asked);
    let text = asked.text.to_lowercase();
    there.retain(|glance| asked.state.is_none_or(|state| state == glance.health) && contains(glance, &text));
    there.sort_unstable_by(|a, b| (a.health, b.parked, &a.of).cmp(&(b.health, a.parked, &b.of)));
    let found = there.len();
    let pages = found.div_ceil(PAGE).max(1);
    let page = asked.page.min(pages);
    let start = (page - 1) * PAGE;
    let rows: Vec<_> = there.into_iter().skip(start).take(PAGE).map(|glance| row(glance, now)).collect();
    let to = |page: usize| Asked { page, ..asked.clone() }.href();
    Overview {
        shown: (if rows.is_empty() { 0 } else { start + 1 }, start + rows.len()),
        previous: (page > 1).then(|| to(page - 1)),
        next: (page < pages).then(|| to(page + 1)),
        is_narrowed: asked.is_narrowed() && count > 0,
        delivered: grouped(delivered),
        parked: grouped(parked),
        asked,
        namespaces,
        tiles,
        all,
        rows,
        found,
    }
}

fn tiles(there: &[Glance], asked: &Asked) -> (Vec<Tile>, Tile) {
    let tile = |health: Option<InstanceHealth>, count: usize, from: usize, width: usize| Tile {
        health,
        count,
        href: Asked { state: health, page: 1, ..asked.clone() }.href(),
        is_current: asked.state == health,
        from,
        width,
    };
    let mut before = 0;
    let of_states = InstanceHealth::ALL.into_iter().map(|health| {
        let count = there.iter().filter(|glance| glance.health == health).count();
        // Rounded at both ends, so that neither a gap nor an overlap is left.
        let at = |number: usize| (number * 1000).checked_div(there.len()).unwrap_or_default();
        let tile = tile(Some(health), count, at(before), at(before + count) - at(before));
        before += count;
        tile
    });
    (of_states.collect(), tile(None, there.len(), 0, 1000))
}

/// `text` in small letters.
fn contains(glance: &Glance, text: &str) -> bool {
    let has = |part: &str| part.to_lowercase().contains(text);
    text.is_empty()
        || has(&glance.of.name)
        || glance.display_name.as_deref().is_some_and(has)
        || glance.connector.as_deref().is_some_and(has)
        || has(&glance.reason)
        || has(&glance.message)
}

fn row(glance: Glance, now: DateTime<Utc>) -> Row {
    let is_well = matches!(glance.health, InstanceHealth::Healthy | InstanceHealth::Suspended);
    Row {
        href: super::instance::href(&glance.of),
        namespace: glance.of.namespace.to_string(),
        name: glance.of.name.to_string(),
        display_name: glance.display_name.as_deref().map(|name| one_line(name).into_owned()),
        connector: glance.connector,
        health: glance.health,
        reason: one_line(&glance.reason).into_owned(),
        message: Some(beginning(&glance.message)).filter(|message| !is_well && !message.is_empty()),
        resources: glance.resources,
        delivered: grouped(glance.delivered),
        parked: glance.parked,
        waiting: glance.waiting,
        last_change: glance.last_change.map(|at| Stamp::new(at, now)),
        next_poll: glance.next_poll.filter(|at| *at > now).map(|at| Stamp::new(at, now)),
    }
}

fn beginning(message: &str) -> String {
    let line = one_line(message);
    match line.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into_owned(),
    }
}

/// A number in groups of three digits, with thin spaces that no line breaks at.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202F}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::api::identity::InstanceRef;
    use crate::poll::status::{ResourceStatus, refused};
    use crate::state::waiting::InPassing;

    fn glance(name: &str, health: InstanceHealth) -> Glance {
        Glance {
            of: InstanceRef::new(if name.starts_with('x') { "ops" } else { "crm" }, name),
            display_name: Some("Sales team, 日本語".into()),
            connector: Some("keap".to_owned()),
            health,
            reason: "Polling".into(),
            message: "all is <b>well</b>\u{202E}".to_owned(),
            resources: 1,
            delivered: 1_234_567,
            parked: 0,
            waiting: 0,
            last_change: None,
            next_poll: None,
        }
    }

    fn resource(name: &str, next: DateTime<Utc>) -> ResourceStatus {
        ResourceStatus {
            name: name.to_owned(),
            cursor: None,
            delivered: 0,
            last_successful_poll_time: InPassing(None),
            next_poll_time: InPassing(Some(next)),
            records_path: None,
            pagination: None,
            reset_reason: None,
            conditions: Vec::new(),
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn names(overview: &Overview) -> Vec<&str> {
        overview.rows.iter().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn the_worst_come_first_and_the_numbers_add_up() {
        use InstanceHealth::{Degraded, Failing, Healthy, Stalled};
        let parked = Glance { parked: 3, ..glance("d", Degraded) };
        let all = vec![glance("a", Healthy), glance("b", Stalled), glance("c", Degraded), parked, glance("x", Failing)];
        let seen = overview(all.clone(), Asked::parse(""), at(0));
        assert_eq!(names(&seen), ["b", "x", "d", "c", "a"]);
        assert_eq!((seen.namespaces.join(","), seen.all.count, seen.shown), ("crm,ops".to_owned(), 5, (1, 5)));
        assert_eq!(seen.tiles.iter().map(|tile| tile.count).collect::<Vec<_>>(), [1, 1, 2, 0, 0, 1]);
        assert_eq!(seen.tiles.iter().map(|tile| tile.width).sum::<usize>(), 1000);
        assert_eq!((seen.delivered.as_str(), seen.parked.as_str()), ("6\u{202F}172\u{202F}835", "3"));
        assert_eq!(seen.rows[0].message.as_deref(), Some("all is <b>well</b>\\u202e"), "hidden characters show");
        assert_eq!(seen.rows[4].message, None);

        let seen = overview(all.clone(), Asked::parse("namespace=crm&state=degraded&q=D"), at(0));
        assert_eq!((names(&seen), seen.all.count), (vec!["d"], 4));
        assert!(seen.is_narrowed && seen.tiles[2].is_current);
        assert_eq!(seen.tiles[0].href, "/?namespace=crm&state=Stalled&q=D");
        let seen = overview(all.clone(), Asked::parse("q=%E6%97%A5%E6%9C%AC"), at(0));
        assert_eq!((seen.found, seen.rows[0].display_name.as_deref()), (5, Some("Sales team, 日本語")));
        let seen = overview(all, Asked::parse("q=nothing+has+this"), at(0));
        assert_eq!((seen.found, seen.shown), (0, (0, 0)));
    }

    #[test]
    fn a_page_that_is_not_there_is_the_last_one() {
        let all = || (0..120).map(|number| glance(&format!("a{number:03}"), InstanceHealth::Healthy)).collect::<Vec<_>>();
        let seen = overview(all(), Asked::parse("page=2"), at(0));
        assert_eq!((seen.shown, seen.previous.as_deref(), seen.next.as_deref()), ((51, 100), Some("/"), Some("/?page=3")));
        let seen = overview(all(), Asked::parse("page=99"), at(0));
        assert_eq!((seen.shown, seen.next), ((101, 120), None));
        for strange in ["page=0", "page=-1", "page=x", "state=none", "%%%=&&"] {
            assert_eq!(overview(all(), Asked::parse(strange), at(0)).shown, (1, 50), "{strange}");
        }
    }

    #[test]
    fn a_poll_that_was_due_is_not_shown_as_the_next() {
        let due = |seconds| Glance { next_poll: Some(at(seconds)), ..glance("a", InstanceHealth::Healthy) };
        let mut seen = overview(vec![due(60), due(-60)], Asked::parse(""), at(0));
        assert_eq!(
            seen.rows.iter().map(|row| row.next_poll.is_some()).collect::<Vec<_>>().iter().filter(|own| **own).count(),
            1
        );
        // What the engine of this process says counts: it polls one of them now.
        let mut current = refused(InstanceRef::new("crm", "a"), None, &Problem::human(Reason::InvalidSpec, "spec"));
        seen.lay(&[current.clone()], at(0));
        assert!(seen.rows.iter().all(|row| row.next_poll.is_none()), "a refused one is not polled");
        current.resources = vec![resource("contacts", at(-1))];
        seen.lay(&[current], at(0));
        assert!(seen.rows.iter().all(|row| row.next_poll.as_ref().is_some_and(|at| at.distance == "now")));
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1\u{202F}000"), (12_345_678, "12\u{202F}345\u{202F}678")] {
            assert_eq!(grouped(number), shown);
        }
    }
}
