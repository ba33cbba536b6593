//! Types of the events of a feed that no key of `feed.typeMap` fits: nothing is sent, as is right for some of them, and a mistake where it
//! is all. Pure.

use std::fmt;

use crate::plan::feed::{FeedPlan, Fit};

/// Events of which none has a type that a key fits.
const MANY: u64 = 20;

/// What the events of a resource have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTypes {
    /// A key fits the type of one.
    fits: bool,
    /// It would if it were spelt like the type, with its capital letters and separators.
    is_spelt_otherwise: bool,
    /// Events of this listing with another type.
    others: u64,
    /// The most of a listing.
    most: u64,
}

impl EventTypes {
    /// Another listing begins.
    pub(super) fn begin_listing(&mut self) {
        self.others = 0;
    }

    /// Notes an event.
    pub(super) fn note(&mut self, plan: &FeedPlan, json: &str) {
        let Some(of_type) = plan.type_of(json) else { return };
        match plan.fit(&of_type) {
            Fit::Exact => self.fits = true,
            fit => {
                self.is_spelt_otherwise |= fit == Fit::OtherSpelling;
                self.others += 1;
                self.most = self.most.max(self.others).min(MANY);
            }
        }
    }

    /// With what other events of the same plan show.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            fits: self.fits || other.fits,
            is_spelt_otherwise: self.is_spelt_otherwise || other.is_spelt_otherwise,
            others: 0,
            most: self.most.max(other.most),
        }
    }

    /// What is most likely wrong with the keys.
    pub fn unmatched(self) -> Option<UnmatchedTypes> {
        match self {
            Self { fits: true, .. } => None,
            Self { is_spelt_otherwise: true, .. } => Some(UnmatchedTypes::Spelling),
            Self { most: MANY.., .. } => Some(UnmatchedTypes::All),
            Self { .. } => None,
        }
    }
}

/// No key fits the type of any event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmatchedTypes {
    /// Types differ from the keys in capital letters or separators alone.
    Spelling,
    /// They are others.
    All,
}

/// What a user reads of it: field, cause and fix.
impl fmt::Display for UnmatchedTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spelling => {
                "feed.typeMap: no key fits the type of any event, so none is sent, and types differ from the keys in upper and lower case or separators alone: write the keys as the provider writes the types, which pollinator try shows"
            }
            Self::All => {
                "feed.typeMap: no key fits the type of any event in the list, so none is sent: write the keys as the provider writes the types, which pollinator try shows, or add the key \"*\" with the meaning Ignored if all of them are to be left out"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(keys: &str, types: &[&str]) -> Option<UnmatchedTypes> {
        let resource = format!(
            "{{name: e, feed: {{typeField: t, objectIdField: i, typeMap: {keys}}}, order: Ascending, datesConfiguration: {{createdDateField: c}}}}"
        );
        let plan = crate::plan::feed::plan(&serde_saphyr::from_str(&resource).unwrap()).unwrap().unwrap();
        let mut seen = EventTypes::default();
        for of_type in types {
            seen.note(&plan, &format!(r#"{{"t":"{of_type}"}}"#));
        }
        seen.unmatched()
    }

    #[test]
    fn keys_that_fit_no_event_are_said() {
        let keys = "{customer.created: Created, 'customer.*': Updated}";
        for (types, expected) in [
            (vec!["customer.updated"; 30], None),
            (vec!["CUSTOMER.UPDATED"], Some(UnmatchedTypes::Spelling)),
            (vec!["Customer_Created"], Some(UnmatchedTypes::Spelling)),
            (vec!["order.created"; 19], None),
            (vec!["order.created"; 20], Some(UnmatchedTypes::All)),
            ([vec!["order.created"; 20], vec!["customer.created"]].concat(), None),
            (vec!["CUSTOMER.UPDATED", "customer.updated"], None),
        ] {
            assert_eq!(said(keys, &types), expected, "{types:?}");
        }
        assert_eq!(said("{customer.created: Created, '*': Ignored}", &vec!["order.created"; 20]), None, "it is meant");
        let seen = EventTypes { most: 20, ..EventTypes::default() };
        assert_eq!(seen.and(EventTypes { fits: true, ..seen }).unmatched(), None, "another poll had one that fits");
    }
}
