//! What a random provider, manifest or poll may be like, and which of these cannot be had together.

use std::env;

use crate::rig::traffic::Dice;

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Switch { $($(#[$doc])* $name,)* }

        impl Switch {
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

switches! {
    // dates
    /// Dates show the provider's wall clock, and the manifest takes it for GMT.
    Zone,
    /// Dates show whole seconds.
    Seconds,
    /// Dates show whole minutes.
    Minutes,
    /// Dates show whole days.
    Days,
    /// Dates are numbers.
    Numbers,
    /// Several machines stamp records; their clocks differ by seconds.
    Nodes,
    /// There is no `Date` header.
    NoDate,
    /// The `Date` header comes from another clock than the records' dates.
    SkewedDate,
    /// Something else than a date of change stands in records that were never changed.
    Sentinel,
    /// Now and then a record is dated in the future.
    Future,
    /// Records do not tell when they were created.
    NoCreated,
    /// The manifest names no dates: changes are found by content.
    Content,

    // filters and lists
    /// The filter excludes its bound.
    Exclusive,
    /// The manifest asks by `${gmtDate:…}`, as published entries do.
    Entry,
    /// There is no filter.
    Unfiltered,
    /// Many records bear one date.
    Ties,
    /// One query shows so many rows and no more; the list is declared `Ascending`.
    Cap,
    /// One query shows a number of rows and no more, and the manifest says so: the list is read in parts.
    Parts,
    /// The list is declared `Ascending`.
    Ascending,
    /// The list is declared `Descending`.
    Descending,
    /// Old records come first in a list that is declared `Descending`.
    Pinned,
    /// Rows appear late, within the look-back.
    Late,
    /// Rows appear late, within the lateness.
    Lateness,
    /// Deleted records come back.
    Returns,
    /// Records change between two pages.
    Churn,
    /// A page is all that is answered: the list is asked for again from the date of its last row.
    Keyset,
    /// Pages follow by the id of the last row.
    LastId,

    // other lists
    /// The list has an event for each change, and each is to come.
    Feed,
    /// The list has what changed since a token.
    Delta,
    /// The list has what changed since a link.
    DeltaLink,
    /// Tokens expire now and then.
    Expiry,
    /// A list of its own names the ids of what was deleted.
    DeletedList,
    /// Deleted records leave the list without a trace, and complete readings find that out.
    Snapshot,
    /// There is a list for each of several tenants, whom the manifest names.
    ForEach,
    /// The same, and the tenants are records that come and go.
    Parents,
    /// The whole list is read and compared by content: some changes have no later date.
    Compared,

    // answers
    /// Bytes of records differ at each answer.
    Signed,
    /// Some rows come twice.
    Joined,
    /// Some rows come twice with other bytes.
    JoinedBytes,
    /// The version before is listed, too.
    Versions,
    /// A list without records has another form than an empty array.
    Empty,
    /// Errors are told in a 200.
    Errors,
    /// Further pages are told of in another way than by a link.
    Words,
    /// Behind the last page something else stands than null.
    Ends,
    /// Pages are short, since rows were cut out of them.
    Short,
    /// Deleted records are marked by a time.
    DeletedAt,

    // polls
    /// The whole list is read now and then, and compared by content.
    FullSweep,
    /// Events name the fields that changed, so every record is remembered.
    Changes,
    /// What exists at first is sent.
    Earliest,
    /// The process dies while it delivers.
    Kills,
    /// The receiver refuses now and then.
    Refused,
    /// Answers of the receiver are lost.
    Lost,
}

use Switch::*;

/// Pairs that cannot be had together: one says what the other denies, or what would be right cannot be told from what is seen.
const CLASHES: &[(&[Switch], &[Switch])] = &[
    // a date has one unit, and there are no numbers of minutes or days
    (&[Seconds], &[Minutes, Days]),
    (&[Minutes], &[Days]),
    (&[Numbers], &[Minutes, Days, Entry]),
    // ${gmtDate} is GMT, and a list without a filter is asked for by nothing
    (&[Entry], &[Zone, Content, Unfiltered, Pinned]),
    // a row from the future looks like one of today on a clock that is behind, and today's rows then lie before it
    (&[Zone, SkewedDate], &[Future]),
    // more than a page of pinned rows cannot be told from the end of what is new
    (&[Pinned], &[Versions, Joined, JoinedBytes]),
    (&[Exclusive], &[Content, Unfiltered, Pinned]),
    // without dates nothing of them matters; a history, or links that are signed, cannot be told from changes
    (
        &[Content],
        &[Sentinel, Future, Entry, Late, Lateness, Cap, Ascending, Descending, Pinned, Churn, Signed, Versions, NoCreated],
    ),
    // where the provider tells no time, the machine's counts, and time passes by itself
    (&[NoDate], &[SkewedDate, Future, Nodes, Cap, Signed, JoinedBytes, Content]),
    // a list has one order
    (&[Ascending], &[Descending, Pinned]),
    (&[Cap], &[Descending, Pinned, Unfiltered]),
    (&[Descending], &[Pinned]),
    // more than the cap lies behind the cursor: days of records, or hours of them while the provider's clock is behind their dates
    (&[Cap], &[Minutes, Days, Zone, SkewedDate, Future, Late, Lateness, Nodes]),
    // more rows of one unit than the cap shows cannot be read, nor can what is dated behind the end of the list
    (&[Parts], &[Cap, Minutes, Days, Future, Content, Unfiltered, Pinned, Short, Joined, JoinedBytes, Versions, NoDate]),
    // a complete reading does not end at a cap, and finds a history, or links that are signed, changed each time
    (&[FullSweep], &[Cap, Parts, Content, Unfiltered, Pinned, Signed, Joined, JoinedBytes, Versions]),
    // bytes count until the unit of a date is over, which a date in the future or between two pages is not
    (&[Signed, JoinedBytes], &[Future, Churn]),
    // nor is that of a date of minutes or days: a change and a link cannot be told apart in it
    (&[Signed, JoinedBytes], &[Minutes, Days]),
    // by a clock that is wrong or one of several, the unit of a date seems over when it is not, and two rows come in the wrong order
    (&[Nodes, SkewedDate], &[Minutes, Days, Versions]),
    // what has no date is found by content
    (&[NoCreated], &[Sentinel]),
    // where a record that was never changed has no date, its row in a history is not what was shown before
    (&[Versions], &[Sentinel]),
    // a crash, or an event that was not taken, may make the version before, alone on its page, come after the one that was sent: a
    // receiver that answered by an error may have it
    (&[Versions], &[Kills, Lost, Refused]),
    // a version that suppresses nothing, since it is dated in the future, lets the one before it through again
    (&[Versions], &[Future, Zone, Joined, JoinedBytes]),
    // a page of a list that has no further ones holds more than the rows of one unit of its dates, all of which are past
    (
        &[Keyset],
        &[
            Minutes,
            Days,
            NoDate,
            Zone,
            Future,
            Late,
            Lateness,
            Content,
            Unfiltered,
            Ties,
            Cap,
            Parts,
            Descending,
            Pinned,
            Versions,
            Joined,
            JoinedBytes,
            Words,
            Ends,
            Short,
            LastId,
            FullSweep,
            Snapshot,
            Compared,
        ],
    ),
    // what follows by id is in its order
    (&[LastId], &[Ascending, Descending, Pinned, Cap, Parts, Joined, JoinedBytes, Versions, Words, Ends, Short]),
    // an event has one date and never changes
    (
        &[Feed],
        &[
            Content,
            NoCreated,
            Sentinel,
            Future,
            Late,
            Lateness,
            Nodes,
            Cap,
            Parts,
            Pinned,
            Signed,
            Joined,
            JoinedBytes,
            Versions,
            Short,
            DeletedAt,
            FullSweep,
            Changes,
            Compared,
            DeletedList,
            Snapshot,
            Refused,
        ],
    ),
    // where polls continue by token, nothing hangs on dates, and a list has one form
    (
        &[Delta, DeltaLink, Expiry],
        &[
            Zone,
            Seconds,
            Minutes,
            Days,
            Numbers,
            Nodes,
            SkewedDate,
            Sentinel,
            Future,
            NoCreated,
            Content,
            Exclusive,
            Entry,
            Unfiltered,
            Cap,
            Parts,
            Ascending,
            Descending,
            Pinned,
            Late,
            Lateness,
            Keyset,
            LastId,
            Feed,
            Signed,
            Joined,
            JoinedBytes,
            Versions,
            Empty,
            Words,
            Ends,
            Short,
            DeletedAt,
            FullSweep,
            DeletedList,
            Snapshot,
            Compared,
        ],
    ),
    (&[Delta], &[DeltaLink]),
    // the token of a list that is not polled expires unseen
    (&[Expiry], &[Parents]),
    // deletions are found in one way
    (&[DeletedList], &[DeletedAt, Snapshot, Compared]),
    (&[Snapshot], &[DeletedAt, FullSweep, Cap, Parts, Pinned, Versions, Future]),
    // a row that is counted and not shown may be the one that is missing
    (&[Snapshot], &[Short]),
    // an empty list in an odd form is one only where a list has been: before that the place may be wrong, and nothing is read
    (&[Empty], &[ForEach, Parents, DeletedList]),
    // a page that was announced, shows none of its rows and has no list either cannot be told from a fault
    (&[Empty], &[Short]),
    (&[ForEach], &[Parents, Errors]),
    (&[Parents], &[Errors, Cap, Pinned, Signed, JoinedBytes]),
    // what is compared by content differs where it changed and nowhere else
    (
        &[Compared],
        &[
            Content,
            Exclusive,
            Entry,
            Cap,
            Parts,
            Ascending,
            Descending,
            Pinned,
            Late,
            Lateness,
            Signed,
            Joined,
            JoinedBytes,
            Versions,
            FullSweep,
            Zone,
            SkewedDate,
            Nodes,
            Future,
        ],
    ),
    (&[Refused], &[Lost]),
    // a return is later than the deletion, by every clock
    (&[Returns], &[Feed, NoDate, Nodes, SkewedDate, Future, Versions, Signed, JoinedBytes, Parents]),
    // one look-back is enough
    (&[Late], &[Lateness]),
    (&[Joined], &[JoinedBytes]),
    (&[Words], &[Ends]),
];

impl Switch {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn clashes(self, other: Self) -> bool {
        let meet = |a: &[Self], b: &[Self]| a.contains(&self) && b.contains(&other) || a.contains(&other) && b.contains(&self);
        CLASHES.iter().any(|(a, b)| meet(a, b))
    }
}

/// Those that the environment admits: `POLLINATOR_SWITCHES` names them, or `POLLINATOR_WITHOUT` those that are off, by commas.
pub fn admitted() -> Vec<Switch> {
    let named = |variable: &str| -> Option<Vec<String>> {
        let names = env::var(variable).ok()?;
        let names: Vec<_> = names.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
        for name in &names {
            assert!(Switch::ALL.iter().any(|switch| switch.name() == *name), "{variable}: there is no {name}");
        }
        Some(names)
    };
    let (with, without) = (named("POLLINATOR_SWITCHES"), named("POLLINATOR_WITHOUT").unwrap_or_default());
    let is_admitted = |switch: &&Switch| {
        let name = switch.name();
        with.as_ref().is_none_or(|with| with.contains(&name)) && !without.contains(&name)
    };
    Switch::ALL.iter().filter(is_admitted).copied().collect()
}

/// Some of them, none of which clashes with another.
pub fn draw(dice: &mut Dice, mut from: Vec<Switch>) -> Vec<Switch> {
    let mut drawn: Vec<Switch> = Vec::new();
    let wanted = 1 + dice.below(6);
    while !from.is_empty() && (drawn.len() as u64) < wanted {
        let next = from.swap_remove(usize::try_from(dice.below(from.len() as u64)).expect("below a length"));
        if !drawn.iter().any(|one| one.clashes(next)) {
            drawn.push(next);
        }
    }
    drawn.sort_by_key(|switch| *switch as usize);
    drawn
}
