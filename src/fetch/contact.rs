//! How far a listing got with its provider.

/// The most that answers have shown of the provider and of the credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// There was no answer.
    #[default]
    None,
    /// It answers. What it says may be about the credentials: a login page and an error in a 200 are answers, too.
    Answered,
    /// It answered what was asked for, so it accepts the credentials.
    Accepted,
}
