//! What became of each field of the input. Never shows a value that is not known to be harmless.

use std::fmt;

use serde_json::Value;

use super::fields::Place;
use super::value::Said;

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It means the same here.
    Kept,
    /// It is written in another way, or means something else.
    Changed,
    /// It is not needed, with the reason.
    Dropped,
    /// Its value was hidden in the export: the Secret has a placeholder.
    Masked,
    /// A person has something to do before the manifest works.
    ToDo,
}

impl Verdict {
    const ALL: [Self; 5] = [Self::Kept, Self::Changed, Self::Dropped, Self::Masked, Self::ToDo];

    fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
            Self::Masked => "masked",
            Self::ToDo => "to do",
        }
    }
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A field of the input, with all that is in it. No field is in two lines.
    Field(Place),
    /// Something in what was written that no field of the input stands for.
    Result(String),
}

/// What the instances API makes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Its verdict decides: what a person has to do refuses the request.
    Verdict,
    /// The request is granted, and its answer warns: something in it has no effect, or another one than was asked for.
    Warning,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What became of it.
    pub verdict: Verdict,
    /// Whether the API only warns of it.
    pub severity: Severity,
    /// Of what.
    pub about: About,
    /// Where it is now, or why it is not, and what to do.
    pub text: String,
}

impl Line {
    /// What it says, without the verdict.
    pub fn sentence(&self) -> String {
        let Self { about, text, .. } = self;
        match about {
            About::Field(place) => format!("{place}: {text}"),
            About::Result(what) => format!("{what}: {text}"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8}{}", self.verdict.word(), self.sentence())
    }
}

/// What one file, or one instance of a file, came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The file, and what was found in it.
    pub title: String,
    /// In the order of the import.
    pub lines: Vec<Line>,
}

impl Section {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), lines: Vec::new() }
    }

    /// Notes what became of a field of the input.
    pub(super) fn field(&mut self, verdict: Verdict, place: &Place, text: impl Into<String>) {
        let severity = Severity::Verdict;
        self.lines.push(Line { verdict, severity, about: About::Field(place.clone()), text: text.into() });
    }

    /// The same for one that has no effect although it was meant to have one.
    pub(super) fn without_effect(&mut self, verdict: Verdict, place: &Place, text: impl Into<String>) {
        let severity = Severity::Warning;
        self.lines.push(Line { verdict, severity, about: About::Field(place.clone()), text: text.into() });
    }

    /// The same for one whose value is lost.
    pub(super) fn lost(&mut self, place: &Place, text: impl Into<String>) {
        self.without_effect(Verdict::Dropped, place, text);
    }

    /// It is not used: lost if it says something.
    pub(super) fn unused(&mut self, place: &Place, value: &Value, text: impl Into<String>) {
        match Said::of(value) {
            Said::Text(_) | Said::Structure => self.lost(place, text),
            Said::Nothing | Said::Masked | Said::Placeholder => self.dropped(place, text),
        }
    }

    /// As [`Self::lost`], for one whose value is another one now.
    pub(super) fn adjusted(&mut self, place: &Place, text: impl Into<String>) {
        self.without_effect(Verdict::Changed, place, text);
    }

    pub(super) fn kept(&mut self, place: &Place, text: impl Into<String>) {
        self.field(Verdict::Kept, place, text);
    }

    pub(super) fn changed(&mut self, place: &Place, text: impl Into<String>) {
        self.field(Verdict::Changed, place, text);
    }

    pub(super) fn dropped(&mut self, place: &Place, text: impl Into<String>) {
        self.field(Verdict::Dropped, place, text);
    }

    pub(super) fn ask(&mut self, place: &Place, text: impl Into<String>) {
        self.field(Verdict::ToDo, place, text);
    }

    /// Notes something about what is written.
    pub(super) fn result(&mut self, verdict: Verdict, what: impl Into<String>, text: impl Into<String>) {
        self.lines.push(Line { verdict, severity: Severity::Verdict, about: About::Result(what.into()), text: text.into() });
    }

    /// Notes that what is written is not what was asked for.
    pub(super) fn differs(&mut self, what: impl Into<String>, text: impl Into<String>) {
        let about = About::Result(what.into());
        self.lines.push(Line { verdict: Verdict::Changed, severity: Severity::Warning, about, text: text.into() });
    }

    /// Whether a person has something to do.
    pub fn needs_a_person(&self) -> bool {
        self.needs_a_person_since(0)
    }

    /// Whether a line from this one on asks a person.
    pub(super) fn needs_a_person_since(&self, line: usize) -> bool {
        self.lines.iter().skip(line).any(|line| matches!(line.verdict, Verdict::Masked | Verdict::ToDo))
    }
}

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the files.
    pub sections: Vec<Section>,
}

impl Report {
    /// Whether a person has something to do.
    pub fn needs_a_person(&self) -> bool {
        self.sections.iter().any(Section::needs_a_person)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "  {line}")?;
            }
            writeln!(f)?;
        }
        let count = |verdict| self.sections.iter().flat_map(|s| &s.lines).filter(|line| line.verdict == verdict).count();
        let counts: Vec<_> = Verdict::ALL.into_iter().map(|verdict| format!("{} {}", count(verdict), verdict.word())).collect();
        writeln!(f, "{}", counts.join(", "))
    }
}
