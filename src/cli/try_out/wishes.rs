//! What a trial may do, and who asks for it.

use chrono::{DateTime, Utc};

/// What a trial may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Lower bound to try the filter with.
    pub since: Option<DateTime<Utc>>,
    /// Ask with POST, too.
    pub posts: bool,
    /// Tokens that come are kept, so that a refresh token or code may be used.
    pub keeps_tokens: bool,
    /// Who reads what it prints.
    pub asked_by: AskedBy,
}

/// Who asks for a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskedBy {
    /// A person at a terminal.
    #[default]
    Terminal,
    /// A person at the console, which has no options.
    Console,
}

impl AskedBy {
    /// What to do to see the answer all the same.
    pub fn way_on_with_posts(self) -> &'static str {
        match self {
            Self::Terminal => "say --yes to send it",
            Self::Console => "create the instance to see what comes",
        }
    }

    /// What to do to see the answer all the same.
    pub fn way_on_with_tokens(self) -> &'static str {
        match self {
            Self::Terminal => "say --state DIR to keep what comes where `pollinator local` finds it",
            Self::Console => "create the instance, whose page then shows how its first poll went",
        }
    }
}
