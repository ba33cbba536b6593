//! How the provider writes dates: form, unit and zone, whose clock stamps a record, and what stands where there is no date.

use chrono::{DateTime, DurationRound as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

/// What time it is at the provider.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// This machine's clock, off by so much.
    Machine(TimeDelta),
    /// It stands still until a test moves it.
    Set(DateTime<Utc>),
}

impl Clock {
    pub fn now(self) -> DateTime<Utc> {
        let now = match self {
            Self::Machine(skew) => Utc::now() + skew,
            Self::Set(at) => at,
        };
        Unit::Millisecond.trunc(now)
    }
}

/// The `Date` header of answers.
#[derive(Clone, Copy, Debug)]
pub enum DateHeader {
    /// There is none.
    Off,
    /// The provider's time, off by so much: another machine writes it than stamps the records.
    Skewed(TimeDelta),
}

/// The finest difference that a date shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Millisecond,
    Second,
    Minute,
    Day,
}

impl Unit {
    pub fn length(self) -> TimeDelta {
        match self {
            Self::Millisecond => TimeDelta::milliseconds(1),
            Self::Second => TimeDelta::seconds(1),
            Self::Minute => TimeDelta::minutes(1),
            Self::Day => TimeDelta::days(1),
        }
    }

    fn trunc(self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.duration_trunc(self.length()).expect("a date of this century")
    }
}

/// How a date looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text in ISO 8601, with `Z` where the provider's wall clock shows GMT and without a zone elsewhere.
    Text,
    /// A number since 1970. There are none in minutes or days.
    Number,
}

/// What stands in the place of the date of change of a record that was never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinel {
    /// `null`.
    Null,
    /// The member is left out.
    LeftOut,
    /// Go's and .NET's zero: `0001-01-01T00:00:00`.
    Year1,
    /// Zero in Unix time.
    Epoch,
    /// The greatest date of SQL Server and others: `9999-12-31T23:59:59`.
    Year9999,
}

impl Sentinel {
    pub const ALL: [Self; 5] = [Self::Null, Self::LeftOut, Self::Year1, Self::Epoch, Self::Year9999];

    fn date(self) -> Option<NaiveDateTime> {
        let date = match self {
            Self::Null | Self::LeftOut => return None,
            Self::Year1 => NaiveDate::from_ymd_opt(1, 1, 1)?.and_time(NaiveTime::MIN),
            Self::Epoch => NaiveDate::from_ymd_opt(1970, 1, 1)?.and_time(NaiveTime::MIN),
            Self::Year9999 => NaiveDate::from_ymd_opt(9999, 12, 31)?.and_hms_milli_opt(23, 59, 59, 999)?,
        };
        Some(date)
    }
}

/// How the provider stamps its records.
#[derive(Clone, Debug)]
pub struct Stamps {
    pub unit: Unit,
    pub form: Form,
    /// The provider's wall clock less GMT. Nothing that it sends says so, and a manifest may take it for GMT.
    pub zone: TimeDelta,
    /// Clocks of the machines that write, less the provider's; they take turns.
    pub nodes: Vec<TimeDelta>,
    /// What stands for "never changed"; `None`: the date of creation.
    pub never: Option<Sentinel>,
    /// Records tell when they were created.
    pub created: bool,
}

impl Default for Stamps {
    fn default() -> Self {
        Self {
            unit: Unit::Millisecond,
            form: Form::Text,
            zone: TimeDelta::zero(),
            nodes: vec![TimeDelta::zero()],
            never: None,
            created: true,
        }
    }
}

impl Stamps {
    /// The moment that a date of the provider shows: what is finer than its unit is lost, on the provider's wall clock.
    pub fn shown(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.unit.trunc(at + self.zone) - self.zone
    }

    /// A date as JSON.
    pub fn json(&self, at: DateTime<Utc>) -> String {
        self.of_wall_clock((self.shown(at) + self.zone).naive_utc())
    }

    /// What stands in the place of a date of change that there is none; `None`: nothing, not even the member.
    pub fn sentinel(&self, sentinel: Sentinel) -> Option<String> {
        match (sentinel, sentinel.date()) {
            (_, Some(date)) => Some(self.of_wall_clock(date)),
            (Sentinel::LeftOut, None) => None,
            (_, None) => Some("null".to_owned()),
        }
    }

    fn of_wall_clock(&self, wall: NaiveDateTime) -> String {
        match (self.form, self.unit) {
            (Form::Text, _) => format!("\"{}\"", wall.format(&self.pattern())),
            (Form::Number, Unit::Millisecond) => wall.and_utc().timestamp_millis().to_string(),
            (Form::Number, _) => wall.and_utc().timestamp().to_string(),
        }
    }

    /// Reads a date that it was sent; one in any other form is refused.
    pub fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        let wall = match (self.form, self.unit) {
            (Form::Number, Unit::Millisecond) => DateTime::from_timestamp_millis(text.parse().ok()?)?.naive_utc(),
            (Form::Number, _) => DateTime::from_timestamp(text.parse().ok()?, 0)?.naive_utc(),
            (Form::Text, Unit::Day) => NaiveDate::parse_from_str(text, &self.pattern()).ok()?.and_time(NaiveTime::MIN),
            (Form::Text, _) => NaiveDateTime::parse_from_str(text, &self.pattern()).ok()?,
        };
        let is_exact = self.of_wall_clock(wall).trim_matches('"') == text;
        is_exact.then(|| wall.and_utc() - self.zone)
    }

    fn pattern(&self) -> String {
        let pattern = match self.unit {
            Unit::Millisecond => "%Y-%m-%dT%H:%M:%S%.3f",
            Unit::Second => "%Y-%m-%dT%H:%M:%S",
            Unit::Minute => "%Y-%m-%dT%H:%M",
            Unit::Day => return "%Y-%m-%d".to_owned(),
        };
        format!("{pattern}{}", if self.zone.is_zero() { "Z" } else { "" })
    }

    /// The same in the words of a manifest. They take the wall clock for GMT.
    pub fn java(&self) -> String {
        let pattern = match (self.form, self.unit) {
            (Form::Number, Unit::Millisecond) => return "milliseconds".to_owned(),
            (Form::Number, _) => return "seconds".to_owned(),
            (Form::Text, Unit::Millisecond) => "yyyy-MM-dd'T'HH:mm:ss.SSS",
            (Form::Text, Unit::Second) => "yyyy-MM-dd'T'HH:mm:ss",
            (Form::Text, Unit::Minute) => "yyyy-MM-dd'T'HH:mm",
            (Form::Text, Unit::Day) => return "yyyy-MM-dd".to_owned(),
        };
        format!("{pattern}{}", if self.zone.is_zero() { "'Z'" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn dates_are_read_as_they_are_written_and_in_no_other_form() {
        let moment = at("2026-11-24T10:31:59.123Z");
        for unit in [Unit::Millisecond, Unit::Second, Unit::Minute, Unit::Day] {
            for zone in [0, -5, 2] {
                for form in [Form::Text, Form::Number] {
                    let stamps = Stamps { unit, form, zone: TimeDelta::hours(zone), ..Stamps::default() };
                    let json = stamps.json(moment);
                    let text = json.trim_matches('"');
                    assert_eq!(stamps.read(text), Some(stamps.shown(moment)), "{stamps:?} {json}");
                    assert_eq!(stamps.read(&format!("{text} ")), None);
                }
            }
        }
        assert_eq!(Stamps::default().read("2026-11-24T10:31:59Z"), None);
        assert_eq!(Stamps::default().json(moment), "\"2026-11-24T10:31:59.123Z\"");
    }

    #[test]
    fn a_wall_clock_elsewhere_shows_other_digits_and_loses_days_at_its_own_midnight() {
        let stamps = Stamps { zone: TimeDelta::hours(-5), unit: Unit::Day, ..Stamps::default() };
        assert_eq!(stamps.json(at("2026-11-24T04:59:00Z")), "\"2026-11-23\"");
        assert_eq!(stamps.shown(at("2026-11-24T05:00:00Z")), at("2026-11-24T05:00:00Z"));
        let stamps = Stamps { zone: TimeDelta::hours(2), unit: Unit::Second, form: Form::Number, ..Stamps::default() };
        assert_eq!(stamps.json(at("1970-01-01T00:00:00Z")), "7200");
    }

    #[test]
    fn what_stands_for_no_date_has_the_form_of_one() {
        let shown = |sentinel, form| Stamps { form, ..Stamps::default() }.sentinel(sentinel);
        assert_eq!(shown(Sentinel::Year1, Form::Text).unwrap(), "\"0001-01-01T00:00:00.000Z\"");
        assert_eq!(shown(Sentinel::Year9999, Form::Text).unwrap(), "\"9999-12-31T23:59:59.999Z\"");
        assert_eq!(shown(Sentinel::Epoch, Form::Number).unwrap(), "0");
        assert_eq!(shown(Sentinel::Null, Form::Text).unwrap(), "null");
        assert_eq!(shown(Sentinel::LeftOut, Form::Text), None);
    }
}
